//! Pods of busybox, and a node that can run them.

use serde_json::Value;

use crate::{Lab, Node, image::Image};

/// A pod of busybox that runs a shell script.
pub fn pod(name: &str, script: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n{more}\n  containers:\n  \
         - name: main\n    image: e2e.test/busybox:1\n    command: [sh, -c, {}]\n",
        serde_json::to_string(script).expect("JSON")
    )
}

/// Runs until SIGTERM.
pub const SLEEP: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";

/// An agent that has the image of [`pod`].
pub fn node_with_busybox(lab: &Lab) -> Node<'_> {
    let node = Node::start(lab);
    let archive = lab.path("busybox.tar");
    Image::busybox().write_archive("e2e.test/busybox:1", &archive);
    node.import(&archive);
    node
}

/// Status of a pod's first container.
pub fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}
