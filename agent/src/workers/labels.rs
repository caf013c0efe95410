//! How the agent finds its sandboxes and containers again: labels and annotations, named as the kubelet's.

use std::collections::HashMap;
use std::path::Path;

use uuid::Uuid;

use crate::pod::PodKey;

pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Says which agent a pod belongs to; those of another, or of a kubelet, are never touched.
pub(crate) const AGENT: &str = "reeve.agent";

pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub(crate) const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
pub(crate) const CRASH_LEVEL: &str = "reeve.container.crashLevel";
pub(crate) const MESSAGE_PATH: &str = "reeve.container.terminationMessage";
pub(crate) const MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";

/// The value of [`AGENT`] of an agent with this root.
pub(crate) fn agent_id(root: &Path) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, root.as_os_str().as_encoded_bytes()).to_string()
}

/// Labels of a pod's sandbox.
pub(crate) fn sandbox_labels(key: &PodKey, agent: &str) -> HashMap<String, String> {
    HashMap::from([
        (POD_NAME.to_owned(), key.name.clone()),
        (POD_NAMESPACE.to_owned(), key.namespace.clone()),
        (POD_UID.to_owned(), key.uid.clone()),
        (AGENT.to_owned(), agent.to_owned()),
    ])
}

/// The pod that labels name.
pub(crate) fn pod_key(labels: &HashMap<String, String>) -> Option<PodKey> {
    Some(PodKey {
        uid: labels.get(POD_UID)?.clone(),
        namespace: labels.get(POD_NAMESPACE)?.clone(),
        name: labels.get(POD_NAME)?.clone(),
    })
}
