//! The pods of this node with their status, for everyone who wants to look or to follow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::broadcast;

/// How many changes a slow follower may lag behind before it has to look again.
const LAG: usize = 1024;

/// A change of the store.
#[derive(Clone, Debug)]
pub enum PodEvent {
    /// A pod is new or its status changed.
    Applied(Arc<Pod>),
    /// Nothing of the pod is left on this node; carries its final status.
    Deleted(Arc<Pod>),
}

/// A snapshot, and all that happens after it. On `RecvError::Lagged` watch anew.
pub struct Watch {
    /// Pods at the start, ordered by namespace and name.
    pub pods: Vec<Arc<Pod>>,
    /// What changed since.
    pub events: broadcast::Receiver<PodEvent>,
}

/// Pods with their status, keyed by UID. Cheap to clone.
#[derive(Clone)]
pub struct PodStore {
    pods: Arc<Mutex<BTreeMap<String, Arc<Pod>>>>,
    events: broadcast::Sender<PodEvent>,
}

impl Default for PodStore {
    fn default() -> PodStore {
        PodStore { pods: Arc::default(), events: broadcast::channel(LAG).0 }
    }
}

impl PodStore {
    /// All pods, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<Pod>> {
        sorted(&self.lock())
    }

    /// The pod with this UID.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Pod>> {
        self.lock().get(uid).cloned()
    }

    /// The pod with this name; of two (one is ending while its successor waits) the one that is not ending.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.lock();
        let mut named = pods.values().filter(|pod| {
            pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace)
        });
        let first = named.next()?;
        let live = |pod: &&Arc<Pod>| pod.metadata.deletion_timestamp.is_none();
        Some(if live(&first) { first } else { named.find(live).unwrap_or(first) }.clone())
    }

    /// A snapshot and the changes after it, without a gap between the two.
    pub fn watch(&self) -> Watch {
        let pods = self.lock();
        Watch { pods: sorted(&pods), events: self.events.subscribe() }
    }

    /// Sets a pod's state; followers hear of it only if something changed.
    pub(crate) fn apply(&self, pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        let mut pods = self.lock();
        if pods.get(&uid).is_some_and(|old| **old == pod) {
            return;
        }
        let pod = Arc::new(pod);
        pods.insert(uid, pod.clone());
        // No follower is fine.
        let _ = self.events.send(PodEvent::Applied(pod));
    }

    /// Forgets a pod of which nothing is left.
    pub(crate) fn remove(&self, uid: &str) {
        let mut pods = self.lock();
        if let Some(pod) = pods.remove(uid) {
            let _ = self.events.send(PodEvent::Deleted(pod));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Pod>>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sorted(pods: &BTreeMap<String, Arc<Pod>>) -> Vec<Arc<Pod>> {
    let mut pods: Vec<_> = pods.values().cloned().collect();
    pods.sort_by(|a, b| {
        (&a.metadata.namespace, &a.metadata.name, &a.metadata.uid).cmp(&(
            &b.metadata.namespace,
            &b.metadata.name,
            &b.metadata.uid,
        ))
    });
    pods
}
