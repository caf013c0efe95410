//! What is wanted of a pod, as far as planning needs it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use reeve_manifests::container_hash;

/// Longest grace that is kept; more is the same to anyone.
const LONGEST: u64 = 10 * 365 * 86_400;

/// `spec.restartPolicy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart whenever a container ends.
    Always,
    /// Restart when it ends with another code than 0.
    OnFailure,
    /// Never restart.
    Never,
}

/// That a pod shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Since when.
    pub since: Timestamp,
    /// How long it may take to end by itself.
    pub grace: Duration,
}

/// A container of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredContainer {
    /// Its name.
    pub name: String,
    /// Hash of its definition.
    pub hash: String,
    /// An init container that goes on beside the others.
    pub sidecar: bool,
    /// Whether it counts as started only when its startup probe says so.
    pub startup_probe: bool,
    /// Grace when its liveness or startup probe fails, where that differs from the pod's.
    pub liveness_grace: Option<Duration>,
    /// The same for the startup probe.
    pub startup_grace: Option<Duration>,
}

/// What is wanted of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// When containers are restarted.
    pub restart: RestartPolicy,
    /// Init containers and sidecars, in order.
    pub init: Vec<DesiredContainer>,
    /// The containers.
    pub containers: Vec<DesiredContainer>,
    /// `terminationGracePeriodSeconds`
    pub grace: Duration,
    /// How long the pod may run.
    pub deadline: Option<Duration>,
    /// Set when it shall end.
    pub ending: Option<Ending>,
    /// Why this node cannot run it.
    pub refused: Option<String>,
}

impl Desired {
    /// Takes from a spec what planning needs.
    pub fn new(spec: &PodSpec, ending: Option<Ending>) -> Desired {
        Desired {
            restart: match spec.restart_policy.as_deref() {
                Some("Never") => RestartPolicy::Never,
                Some("OnFailure") => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            init: spec.init_containers.iter().flatten().map(container).collect(),
            containers: spec.containers.iter().map(container).collect(),
            grace: seconds(spec.termination_grace_period_seconds.unwrap_or(30)),
            deadline: spec.active_deadline_seconds.map(seconds),
            ending,
            refused: None,
        }
    }

    /// Restart policy of one container.
    pub(super) fn policy(&self, container: &DesiredContainer) -> RestartPolicy {
        if container.sidecar { RestartPolicy::Always } else { self.restart }
    }
}

fn container(c: &Container) -> DesiredContainer {
    let grace = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
        probe.as_ref().and_then(|p| p.termination_grace_period_seconds).map(seconds)
    };
    DesiredContainer {
        name: c.name.clone(),
        hash: container_hash(c),
        sidecar: c.restart_policy.as_deref() == Some("Always"),
        startup_probe: c.startup_probe.is_some(),
        liveness_grace: grace(&c.liveness_probe),
        startup_grace: grace(&c.startup_probe),
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(LONGEST))
}
