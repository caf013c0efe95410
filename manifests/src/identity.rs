//! Stable names for what a manifest declares.

use k8s_openapi::api::core::v1::{Container, Pod};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Namespace of the UUIDs made here (a random UUID, once chosen).
const SPACE: Uuid = Uuid::from_u128(0x5c0e_61d1_6f0b_4a55_9c55_0d0e_66a1_7e21);

/// Hash over what makes two versions of a pod differ: its spec, labels and annotations.
pub fn pod_hash(pod: &Pod) -> String {
    hash(&(&pod.spec, &pod.metadata.labels, &pod.metadata.annotations))
}

/// Hash over a container, so that a runtime's container can be told from one of another version.
pub fn container_hash(container: &Container) -> String {
    hash(container)
}

/// UID of a pod: the same for the same declaration in the same source, another one after an edit, so that an
/// edited pod is another pod.
pub fn pod_uid(source: &str, pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let words = format!("{source}\0{namespace}\0{name}\0{}", pod_hash(pod));
    Uuid::new_v5(&SPACE, words.as_bytes()).to_string()
}

fn hash(value: &impl serde::Serialize) -> String {
    // Maps are ordered and the types have no failing serializers: an error cannot occur.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&text);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
