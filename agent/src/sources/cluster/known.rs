//! The pods bound to this node, as the API server last showed them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;

/// Says that a pod of the cluster shows one of another source.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Objects by UID. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Known {
    pods: Arc<Mutex<BTreeMap<String, Arc<Pod>>>>,
    changed: watch::Sender<bool>,
}

impl Default for Known {
    fn default() -> Known {
        Known { pods: Arc::default(), changed: watch::channel(false).0 }
    }
}

impl Known {
    /// The object of this UID.
    pub(crate) fn get(&self, uid: &str) -> Option<Arc<Pod>> {
        self.lock().get(uid).cloned()
    }

    /// The object that shows the pod of this UID: itself, or its mirror.
    pub(crate) fn target(&self, uid: &str) -> Option<Arc<Pod>> {
        let pods = self.lock();
        let mirror = || pods.values().find(|pod| mirror_hash(pod) == Some(uid));
        pods.get(uid).or_else(mirror).cloned()
    }

    /// Pods that the cluster wants run here.
    pub(super) fn bound(&self) -> Vec<Arc<Pod>> {
        self.lock().values().filter(|pod| mirror_hash(pod).is_none()).cloned().collect()
    }

    /// Mirrors of other sources' pods.
    pub(super) fn mirrors(&self) -> Vec<Arc<Pod>> {
        self.lock().values().filter(|pod| mirror_hash(pod).is_some()).cloned().collect()
    }

    /// Told after every change; true once all objects are known.
    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    pub(super) fn replace(&self, pods: Vec<Pod>) {
        *self.lock() = pods.into_iter().map(|pod| (uid(&pod).to_owned(), Arc::new(pod))).collect();
        self.changed.send_replace(true);
    }

    pub(super) fn insert(&self, pod: Pod) -> Arc<Pod> {
        let pod = Arc::new(pod);
        self.lock().insert(uid(&pod).to_owned(), pod.clone());
        self.changed.send_modify(|_| {});
        pod
    }

    pub(super) fn remove(&self, pod: &Pod) {
        self.lock().remove(uid(pod));
        self.changed.send_modify(|_| {});
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Pod>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of the static pod that a mirror shows.
pub(super) fn mirror_hash(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(MIRROR).map(String::as_str)
}

/// The annotations that make a pod a mirror of the pod with this hash, as the kubelet writes them.
pub(super) fn mirror_annotations(hash: &str) -> [(String, String); 3] {
    [
        (MIRROR.into(), hash.into()),
        ("kubernetes.io/config.hash".into(), hash.into()),
        ("kubernetes.io/config.source".into(), "file".into()),
    ]
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
