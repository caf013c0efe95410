//! Mirror pods: what runs here by other sources' wish, shown to the cluster.
//!
//! The API server lets a node make pods bound to itself that carry the mirror annotation. Deleting a mirror in the
//! cluster does not end the pod: it is shown again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::broadcast::error::RecvError;

use super::connect::{RequestError, is_gone, request};
use super::known::{Known, mirror_annotations, mirror_hash};
use crate::Handles;

/// How long until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Keeps the mirrors as the pods are, for ever.
pub(super) async fn run(client: Client, handles: Handles, known: Known) {
    let mut changes = known.changes();
    // Before all objects are known, every pod would seem to lack its mirror.
    if changes.wait_for(|all| *all).await.is_err() {
        return;
    }
    let mirrors = Mirrors { client, handles, known };
    let mut pods = mirrors.handles.pods.watch().events;
    loop {
        let failed = mirrors.settle().await;
        let retry = tokio::time::sleep(AGAIN);
        tokio::select! {
            told = pods.recv() => match told {
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => pods = mirrors.handles.pods.watch().events,
                Err(RecvError::Closed) => return,
            },
            told = changes.changed() => if told.is_err() { return },
            () = retry, if failed => {}
        }
    }
}

struct Mirrors {
    client: Client,
    handles: Handles,
    known: Known,
}

impl Mirrors {
    /// Makes and deletes mirrors until they are as the pods; true when something failed.
    async fn settle(&self) -> bool {
        let pods = self.handles.pods.list();
        let ours: Vec<_> = pods.iter().filter(|pod| self.wants_mirror(pod)).collect();
        let mirrors = self.known.mirrors();
        let mut failed = false;
        let shown: BTreeSet<_> = ours.iter().filter_map(|pod| hash(pod)).collect();
        let stale = |mirror: &&Arc<Pod>| {
            let deleted = mirror.metadata.deletion_timestamp.is_some();
            deleted || mirror_hash(mirror).is_none_or(|hash| !shown.contains(hash))
        };
        for mirror in mirrors.iter().filter(stale) {
            failed |= noted("delete", mirror, self.delete(mirror).await);
        }
        for pod in ours {
            if !mirrors.iter().any(|mirror| mirror_hash(mirror) == hash(pod)) {
                failed |= noted("make", pod, self.create(pod).await);
            }
        }
        failed
    }

    /// Whether a pod is of another source than the cluster, and is not ending.
    fn wants_mirror(&self, pod: &Pod) -> bool {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let from_cluster = pod.metadata.resource_version.is_some() || self.known.get(uid).is_some();
        !from_cluster && pod.metadata.deletion_timestamp.is_none()
    }

    async fn create(&self, pod: &Arc<Pod>) -> Result<(), RequestError> {
        let node = &self.handles.config.node_name;
        let owner = request(Api::<Node>::all(self.client.clone()).get(node)).await?;
        let mirror = mirror_of(pod, node, owner.metadata.uid.unwrap_or_default());
        let created = request(self.api(pod).create(&PostParams::default(), &mirror)).await;
        // One of that name is there: it is of the pod's earlier version, and on its way out.
        if is_gone(&created) { Ok(()) } else { created.map(drop) }
    }

    async fn delete(&self, mirror: &Pod) -> Result<(), RequestError> {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = mirror.metadata.name.as_deref().unwrap_or_default();
        let deleted = request(self.api(mirror).delete(name, &params)).await;
        if is_gone(&deleted) { Ok(()) } else { deleted.map(drop) }
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or("default"))
    }
}

/// The object that shows `pod`.
fn mirror_of(pod: &Pod, node: &str, node_uid: String) -> Pod {
    let meta = &pod.metadata;
    let mut annotations = meta.annotations.clone().unwrap_or_default();
    annotations.extend(mirror_annotations(hash(pod).unwrap_or_default()));
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: node.to_owned(),
        uid: node_uid,
        controller: Some(true),
        ..OwnerReference::default()
    };
    let mut spec = pod.spec.clone().unwrap_or_default();
    spec.node_name = Some(node.to_owned());
    Pod {
        metadata: ObjectMeta {
            name: Some(name(pod, node)),
            namespace: meta.namespace.clone(),
            labels: meta.labels.clone(),
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// A static pod's UID is made from its content, so it is its hash too.
fn hash(pod: &Pod) -> Option<&str> {
    pod.metadata.uid.as_deref()
}

/// Names are the cluster's there: that of the node is appended where it is not yet.
fn name(pod: &Pod, node: &str) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let suffix = format!("-{node}");
    if name.ends_with(&suffix) { name.to_owned() } else { format!("{name}{suffix}") }
}

fn noted(what: &str, pod: &Pod, outcome: Result<(), RequestError>) -> bool {
    if let Err(error) = &outcome {
        tracing::warn!(pod = ?pod.metadata.name, "cannot {what} the pod's mirror in the cluster: {error}");
    }
    outcome.is_err()
}
