//! The source: pods bound to this node.

use std::sync::Arc;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::known::{Known, mirror_hash};
use crate::Handles;
use crate::pod::{DesiredPod, PodKey};
use crate::sources::{Change, Mailbox};

/// Follows the pods bound to this node. A deleted pod that never ran here goes to `gone`.
pub(super) async fn run(
    client: Client,
    handles: Handles,
    mailbox: Mailbox,
    known: Known,
    gone: mpsc::UnboundedSender<Arc<Pod>>,
) {
    let source = Source { handles, mailbox, known, gone };
    let node = &source.handles.config.node_name;
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let mut events = std::pin::pin!(watch(Api::<Pod>::all(client), config).default_backoff());
    let mut scan = Vec::new();
    loop {
        match events.try_next().await {
            Ok(Some(Event::Init)) => scan.clear(),
            Ok(Some(Event::InitApply(pod))) => scan.push(pod),
            Ok(Some(Event::InitDone)) => source.scanned(std::mem::take(&mut scan)),
            Ok(Some(Event::Apply(pod))) => source.applied(pod),
            Ok(Some(Event::Delete(pod))) => source.deleted(&pod),
            Ok(None) => return,
            // The stream goes on by itself, with a growing pause.
            Err(error) => source.failed(&error),
        }
    }
}

struct Source {
    handles: Handles,
    mailbox: Mailbox,
    known: Known,
    gone: mpsc::UnboundedSender<Arc<Pod>>,
}

impl Source {
    /// A complete scan: what it lacks is no longer wanted.
    fn scanned(&self, pods: Vec<Pod>) {
        self.known.replace(pods);
        let pods = self.known.bound();
        tracing::debug!(pods = pods.len(), "the cluster's pods were listed");
        self.mailbox.complete(pods.iter().filter_map(|pod| self.desired(pod)).collect());
    }

    fn applied(&self, pod: Pod) {
        let pod = self.known.insert(pod);
        if mirror_hash(&pod).is_none() {
            self.tell(&pod, self.desired(&pod));
        }
    }

    fn deleted(&self, pod: &Pod) {
        self.known.remove(pod);
        if mirror_hash(pod).is_none() {
            self.tell(pod, None);
        }
    }

    fn tell(&self, pod: &Pod, desired: Option<Arc<DesiredPod>>) {
        self.mailbox.error(None);
        let change = Change { key: PodKey::of(pod), pod: desired };
        self.mailbox.change(change, self.known.bound().len());
    }

    /// What is to be done with a pod: nothing, where it has ended before this agent knew of it.
    fn desired(&self, pod: &Arc<Pod>) -> Option<Arc<DesiredPod>> {
        let here = self.handles.pods.by_uid(pod.metadata.uid.as_deref().unwrap_or_default()).is_some();
        if has_ended(pod) && !here {
            if pod.metadata.deletion_timestamp.is_some() {
                // The writer lives as long as this task.
                let _ = self.gone.send(pod.clone());
            }
            return None;
        }
        let desired = DesiredPod { source: self.mailbox.name(), pod: pod.clone(), origin: String::new() };
        Some(Arc::new(desired))
    }

    fn failed(&self, error: &watcher::Error) {
        tracing::debug!("cannot follow the cluster's pods, which run on: {error}");
        self.mailbox.error(Some(error.to_string()));
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
