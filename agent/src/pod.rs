//! A pod as a source declares it.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// Which pod: its UID, and the names people know it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodKey {
    /// `metadata.uid`; a changed manifest has another one.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl PodKey {
    /// The key of a pod, empty where the metadata lacks a part.
    pub fn of(pod: &Pod) -> PodKey {
        PodKey {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".into()),
            name: pod.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

/// One pod that should run here: defaults applied, UID set, validated.
///
/// `metadata.deletionTimestamp` (cluster pods) says that it should end within
/// `metadata.deletionGracePeriodSeconds`; it stays desired until its source forgets it.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredPod {
    /// Name of the source that declares it.
    pub source: Arc<str>,
    /// The object itself.
    pub pod: Arc<Pod>,
    /// File and line of its declaration, or empty.
    pub origin: String,
}

impl DesiredPod {
    /// Key of this pod.
    pub fn key(&self) -> PodKey {
        PodKey::of(&self.pod)
    }

    /// Whether its source asks for its graceful end.
    pub fn is_deleted(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }
}
