//! The Node object and the patch of its status.

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use serde_json::{Value, json};

use super::facts::Facts;

/// The version of the Kubernetes API that the agent follows, as version checks of tools want it, and ours.
const KUBELET_VERSION: &str = concat!("v1.36.0-reeve.", env!("CARGO_PKG_VERSION"));

/// The Node as it is registered; its status follows.
pub(super) fn node(name: &str, facts: &Facts) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(name.to_owned());
    node.metadata.labels = Some(
        [
            ("kubernetes.io/hostname", facts.hostname.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
    );
    node
}

/// The status without its conditions.
pub(super) fn status(facts: &Facts) -> Value {
    let amounts = json!({
        "cpu": facts.cpus.to_string(),
        "memory": format!("{}Ki", facts.memory / 1024),
        "ephemeral-storage": format!("{}Ki", facts.disk / 1024),
        "pods": facts.max_pods.to_string(),
    });
    let mut addresses = Vec::new();
    addresses.extend(facts.address.map(|ip| json!({"type": "InternalIP", "address": ip.to_string()})));
    addresses.push(json!({"type": "Hostname", "address": facts.hostname}));
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": addresses,
        "nodeInfo": {
            "architecture": architecture(),
            "bootID": facts.boot_id,
            "containerRuntimeVersion": facts.runtime,
            "kernelVersion": facts.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBELET_VERSION,
            "machineID": facts.machine_id,
            "operatingSystem": "linux",
            "osImage": facts.os_image,
            "systemUUID": facts.system_uuid,
        },
    })
}

/// A strategic merge patch: conditions are merged by their type, for others write theirs; addresses are ours alone.
pub(super) fn patch(mut status: Value, conditions: &[NodeCondition]) -> Value {
    if let Some(addresses) = status["addresses"].as_array_mut() {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    status["conditions"] = json!(conditions);
    json!({ "status": status })
}

/// This machine in Go's words, which images and selectors use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
