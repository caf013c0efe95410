//! What is so, as far as planning needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// What an action is a step of; at most one action runs for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// The sandbox.
    Sandbox,
    /// A container, by name.
    Container(String),
}

/// An action under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A container is started, or a sandbox made.
    Starting,
    /// A start that is to give up.
    Cancelled,
    /// A container has until then to end by itself.
    Killing {
        /// Until when.
        until: Timestamp,
    },
    /// Something is stopped or removed.
    Removing,
}

/// Failures in a row of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How many.
    pub count: u32,
    /// When the last one was.
    pub at: Timestamp,
    /// Its reason, as a container's status shows it (`ErrImagePull`).
    pub reason: String,
    /// What was said.
    pub message: String,
}

/// A sandbox of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// Number of sandboxes before it.
    pub attempt: u32,
    /// Whether it can hold running containers.
    pub ready: bool,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// `startupProbe`
    Startup,
    /// `livenessProbe`
    Liveness,
    /// `readinessProbe`
    Readiness,
}

impl ProbeKind {
    /// The name as Kubernetes says it.
    pub fn word(self) -> &'static str {
        match self {
            ProbeKind::Startup => "startup",
            ProbeKind::Liveness => "liveness",
            ProbeKind::Readiness => "readiness",
        }
    }
}

/// That a probe has failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// Which one.
    pub probe: ProbeKind,
}

/// State of a container in the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made, never started.
    Created,
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Exited {
        /// How long it ran.
        ran: Duration,
        /// When it ended.
        at: Timestamp,
        /// Its exit code.
        code: i32,
    },
    /// The runtime cannot say.
    Unknown,
}

/// One container in the runtime: an instance of a container of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Id of its sandbox.
    pub sandbox: String,
    /// Hash of the definition it was made from.
    pub hash: String,
    /// How often the container was restarted before.
    pub restarts: u32,
    /// How often in a row it crashed before.
    pub level: u32,
    /// Its state.
    pub state: State,
    /// Whether its startup probe, if any, has succeeded.
    pub started: bool,
    /// Whether a probe wants it restarted.
    pub unhealthy: Option<Unhealthy>,
}

impl Instance {
    /// Whether a process of it may be there.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Unknown)
    }
}

/// What is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Sandboxes, the newest first.
    pub sandboxes: Vec<Sandbox>,
    /// Instances of each container, the newest first.
    pub containers: BTreeMap<String, Vec<Instance>>,
    /// Failures since the last success.
    pub failures: BTreeMap<Task, Failure>,
    /// Actions under way.
    pub doing: BTreeMap<Task, Doing>,
    /// When the pod was accepted.
    pub started_at: Timestamp,
    /// Set once the pod has finished, to whether it failed: a finished pod stays finished.
    pub finished: Option<bool>,
}

impl Observed {
    /// Nothing yet.
    pub fn nothing(started_at: Timestamp) -> Observed {
        Observed {
            sandboxes: Vec::new(),
            containers: BTreeMap::new(),
            failures: BTreeMap::new(),
            doing: BTreeMap::new(),
            started_at,
            finished: None,
        }
    }

    /// The newest instance of a container.
    pub fn newest(&self, container: &str) -> Option<&Instance> {
        self.containers.get(container).and_then(|list| list.first())
    }

    /// What is under way for a container.
    pub(super) fn doing(&self, container: &str) -> Option<Doing> {
        // A lookup by a borrowed key would need a map of its own for containers.
        self.doing.get(&Task::Container(container.to_owned())).copied()
    }

    /// The failures of a container.
    pub(super) fn failure(&self, container: &str) -> Option<&Failure> {
        self.failures.get(&Task::Container(container.to_owned()))
    }
}
