//! Carrying out the actions of a plan through CRI.

mod container;
mod image;
mod sandbox;

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use super::seen::Seen;
use crate::Handles;
use crate::events::EventType;
use crate::metrics::CallLabels;
use crate::plan::{Action, Why};
use crate::pod::PodKey;

/// How an action that makes something failed: its reason as a status shows it, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Fault {
    fn new(reason: &'static str) -> impl FnOnce(String) -> Fault {
        move |message| Fault { reason, message }
    }
}

/// What an action came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was carried out.
    Ok,
    /// It was given up because the plan changed.
    Cancelled,
    /// It failed.
    Failed(Fault),
}

/// Carries out the actions of one pod. Cheap to clone.
#[derive(Clone)]
pub(super) struct Executor {
    pub(super) handles: Handles,
    pub(super) agent: Arc<str>,
    pub(super) pod: Arc<Pod>,
    pub(super) key: PodKey,
}

impl Executor {
    /// Carries out one action.
    pub(super) async fn execute(self, action: Action, seen: Arc<Seen>, cancel: CancellationToken) -> Done {
        let result = match &action {
            Action::CreateSandbox { attempt } => {
                self.create_sandbox(*attempt, !seen.sandboxes.is_empty()).await
            }
            Action::StopSandbox { id } => self.stop_sandbox(id).await,
            Action::RemoveSandbox { id } => self.remove_sandbox(id).await,
            Action::Start { container, sandbox, restarts, level } => {
                let start = container::Start { name: container, sandbox, restarts: *restarts, level: *level };
                match self.start(start, &seen, cancel).await {
                    Ok(true) => Ok(()),
                    Ok(false) => return Done::Cancelled,
                    Err(fault) => Err(fault),
                }
            }
            Action::Kill { container, id, grace, why } => {
                self.announce_kill(container, why);
                self.stop_container(id, *grace).await
            }
            Action::RemoveContainer { id, .. } => self.remove_container(id, &seen).await,
            // The worker cancels by itself.
            Action::Cancel { .. } => Ok(()),
        };
        match result {
            Ok(()) => Done::Ok,
            Err(fault) => {
                tracing::warn!(pod = %self.key, ?action, reason = fault.reason, message = fault.message, "action failed");
                Done::Failed(fault)
            }
        }
    }

    /// The definition of a container.
    fn definition(&self, name: &str) -> Option<&Container> {
        let spec = self.pod.spec.as_ref()?;
        spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)
    }

    fn pod_dir(&self) -> PathBuf {
        self.handles.config.pod_dir(&self.key.uid)
    }

    fn event(&self, container: Option<&str>, kind: EventType, reason: &str, message: String) {
        self.handles.events.pod(&self.pod, container, kind, reason, message);
    }

    fn announce_kill(&self, container: &str, why: &Why) {
        let message = match why {
            Why::PodEnds | Why::Deadline => format!("Stopping container {container}"),
            Why::Changed => format!("Container {container} definition changed, will be restarted"),
            Why::Unhealthy(u) => {
                format!("Container {container} failed {} probe, will be restarted", u.probe.word())
            }
            Why::Unknown => format!("Container {container} is in unknown state, will be restarted"),
        };
        self.event(Some(container), EventType::Normal, "Killing", message);
    }

    /// Makes one call, and measures it.
    async fn call<T>(
        &self,
        operation: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        let labels = CallLabels { operation: operation.to_owned() };
        let begun = self.handles.clock.now();
        let result = call.await;
        self.handles
            .metrics
            .cri_calls
            .get_or_create(&labels)
            .observe(self.handles.clock.now().duration_since(begun).as_secs_f64());
        if result.is_err() {
            self.handles.metrics.cri_errors.get_or_create(&labels).inc();
        }
        result.map(Response::into_inner)
    }
}

/// What a status says, for people.
fn words(status: &Status) -> String {
    match (status.code(), status.message()) {
        (code, "") => code.to_string(),
        (_, message) => message.to_owned(),
    }
}

/// Something that is gone already has been stopped and removed.
fn gone_is_fine(result: Result<(), Status>) -> Result<(), Status> {
    match result {
        Err(status) if status.code() == tonic::Code::NotFound => Ok(()),
        other => other,
    }
}
