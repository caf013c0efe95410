//! Writes the status of a cluster's pods back, and deletes those that are gone from this node.
//!
//! What is to be written is kept by pod, newest only: an API server that was away gets what is so, not what was.

mod patch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::{PodEvent, PodStore, Watch};
use crate::sources::cluster::{Known, RequestError, request};

/// The one who writes.
pub(crate) struct Writer {
    client: Client,
    pods: PodStore,
    known: Known,
    /// What is still to be written, by UID.
    waiting: BTreeMap<String, Task>,
    /// What was written last, by UID.
    written: BTreeMap<String, Value>,
}

/// What is to be done with one pod.
enum Task {
    /// Its status is to be written.
    Report(Arc<Pod>),
    /// Nothing of it is left here: its last status is to be written, and the object to be deleted.
    Delete(Arc<Pod>),
}

impl Writer {
    pub(crate) fn new(client: Client, pods: PodStore, known: Known) -> Writer {
        Writer { client, pods, known, waiting: BTreeMap::new(), written: BTreeMap::new() }
    }

    /// Writes for ever. Through `gone` come deleted pods that never ran here.
    pub(crate) async fn run(mut self, mut gone: mpsc::UnboundedReceiver<Arc<Pod>>) {
        let mut changes = self.known.changes();
        let mut watch = self.look_again();
        let mut pauses = pauses();
        loop {
            let failed = self.write_all().await;
            if !failed {
                pauses = self::pauses();
            }
            let pause = if failed { pauses.next() } else { None };
            tokio::select! {
                event = watch.events.recv() => match event {
                    Ok(event) => self.note_event(event),
                    Err(RecvError::Lagged(_)) => watch = self.look_again(),
                    Err(RecvError::Closed) => return,
                },
                Some(pod) = gone.recv() => self.note(Task::Delete(pod)),
                // A pod that the API server shows only now may have a status here already.
                told = changes.changed() => match told {
                    Ok(()) => watch = self.look_again(),
                    Err(_) => return,
                },
                () = tokio::time::sleep(pause.unwrap_or_default()), if failed => {}
            }
            // Several changes at once are one write.
            while let Ok(event) = watch.events.try_recv() {
                self.note_event(event);
            }
        }
    }

    /// Notes all pods of the store, and those that ended here while nobody looked.
    fn look_again(&mut self) -> Watch {
        let watch = self.pods.watch();
        for pod in &watch.pods {
            self.note(Task::Report(pod.clone()));
        }
        let here = |uid: &str| watch.pods.iter().any(|pod| pod.metadata.uid.as_deref() == Some(uid));
        let ended = self.written.keys().filter(|uid| !here(uid)).filter_map(|uid| self.known.get(uid));
        for pod in ended.collect::<Vec<_>>() {
            self.note(Task::Delete(pod));
        }
        self.written.retain(|uid, _| self.known.target(uid).is_some());
        watch
    }

    fn note_event(&mut self, event: PodEvent) {
        self.note(match event {
            PodEvent::Applied(pod) => Task::Report(pod),
            PodEvent::Deleted(pod) => Task::Delete(pod),
        });
    }

    fn note(&mut self, task: Task) {
        let (Task::Report(pod) | Task::Delete(pod)) = &task;
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        // A pod that is gone stays gone, whatever older news comes after.
        if matches!((self.waiting.get(&uid), &task), (Some(Task::Delete(_)), Task::Report(_))) {
            return;
        }
        self.waiting.insert(uid, task);
    }

    /// Writes what waits; what may succeed later goes on waiting, and then this is true.
    async fn write_all(&mut self) -> bool {
        let mut failed = false;
        for (uid, task) in std::mem::take(&mut self.waiting) {
            // The store holds other sources' pods too, which have a mirror or nothing.
            let Some(object) = self.known.target(&uid) else { continue };
            let Err(error) = self.write(&uid, &object, &task).await else { continue };
            let pod = object.metadata.name.as_deref().unwrap_or_default();
            match error.code() {
                // Deleted meanwhile, or another pod by now: the watch says so too.
                Some(404 | 409) => {}
                _ if error.is_passing() => {
                    tracing::debug!(pod, "cannot write to the cluster now: {error}");
                    self.waiting.insert(uid, task);
                    failed = true;
                }
                _ => tracing::warn!(pod, "the cluster refused the pod's status: {error}"),
            }
        }
        failed
    }

    async fn write(&mut self, uid: &str, object: &Pod, task: &Task) -> Result<(), RequestError> {
        match task {
            Task::Report(pod) => self.report(uid, object, pod).await,
            Task::Delete(pod) => {
                self.report(uid, object, pod).await?;
                // One that ended by another's wish (the agent leaves) stays the cluster's.
                if object.metadata.deletion_timestamp.is_none() {
                    return Ok(());
                }
                self.delete(object).await
            }
        }
    }

    /// Patches the status where it differs from what was written last, or from what the cluster shows of it.
    async fn report(&mut self, uid: &str, object: &Pod, pod: &Pod) -> Result<(), RequestError> {
        let Some(status) = pod.status.as_ref().filter(|status| object.status.as_ref() != Some(status)) else {
            return Ok(());
        };
        let patch = patch::of(object, status);
        if self.written.get(uid) == Some(&patch) && !patch::is_contradicted(object, status) {
            return Ok(());
        }
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let params = PatchParams::default();
        request(self.api(object).patch_status(name, &params, &Patch::Strategic(&patch))).await?;
        self.written.insert(uid.to_owned(), patch);
        Ok(())
    }

    async fn delete(&self, object: &Pod) -> Result<(), RequestError> {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: object.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = object.metadata.name.as_deref().unwrap_or_default();
        request(self.api(object).delete(name, &params)).await.map(drop)
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or("default"))
    }
}

/// Pauses between tries while the API server is away: growing, with jitter, for ever.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .without_max_times()
        .build()
}
