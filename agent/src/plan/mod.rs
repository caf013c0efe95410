//! What to do next for one pod: a pure function.
//!
//! [`plan`] gets what is wanted, what is so, and the time, and says which actions to begin now, when to ask
//! again at the latest, and what each container waits for. It reads no clock and remembers nothing, so that a
//! worker that missed an event, crashed or started late computes the same plan. It does not wait for actions
//! either: [`Observed::doing`] lists those under way, and nothing is begun for a task that has one.

mod backoff;
mod desired;
mod end;
mod observed;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use backoff::{crash_delay, next_level, retry_delay};
pub use desired::{Desired, DesiredContainer, Ending, RestartPolicy};
use jiff::Timestamp;
pub use observed::{Doing, Failure, Instance, Observed, ProbeKind, Sandbox, State, Task, Unhealthy};

/// One thing to do. Actions of different tasks run at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the pod's sandbox (and its volumes before it).
    CreateSandbox {
        /// Number of sandboxes before it.
        attempt: u32,
    },
    /// Stop a sandbox, and with it whatever still runs in it.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Remove a stopped sandbox and its containers.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// Pull the image, create the container and start it.
    Start {
        /// Name of the container.
        container: String,
        /// Id of the sandbox.
        sandbox: String,
        /// How often it was restarted.
        restarts: u32,
        /// How often in a row it crashed: decides how long the next restart waits.
        level: u32,
    },
    /// Give up a start that is still pulling.
    Cancel {
        /// Name of the container.
        container: String,
    },
    /// Stop a container.
    Kill {
        /// Name of the container.
        container: String,
        /// Its id.
        id: String,
        /// How long it may take to end by itself.
        grace: Duration,
        /// Why.
        why: Why,
    },
    /// Remove a container that does not run.
    RemoveContainer {
        /// Name of the container.
        container: String,
        /// Its id.
        id: String,
    },
}

impl Action {
    /// The task that this is a step of.
    pub fn task(&self) -> Task {
        match self {
            Action::CreateSandbox { .. } | Action::StopSandbox { .. } | Action::RemoveSandbox { .. } => {
                Task::Sandbox
            }
            Action::Start { container, .. }
            | Action::Cancel { container }
            | Action::Kill { container, .. }
            | Action::RemoveContainer { container, .. } => Task::Container(container.clone()),
        }
    }
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pod ends.
    PodEnds,
    /// The container's definition changed.
    Changed,
    /// A probe failed.
    Unhealthy(Unhealthy),
    /// The runtime does not know its state.
    Unknown,
    /// The pod has run longer than it may.
    Deadline,
}

/// What a container that does not run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Its sandbox and volumes.
    Sandbox,
    /// The init containers before it.
    Init,
    /// Its image and its creation.
    Creating,
    /// The end of a back-off after a crash.
    CrashLoop {
        /// How long the back-off is.
        delay: Duration,
    },
    /// The next try after a failure.
    Retry(Failure),
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It runs, or is about to.
    #[default]
    Active,
    /// This node cannot run it, and has begun nothing.
    Refused,
    /// Its containers have ended for good; `failed` decides its phase.
    Finished {
        /// Whether one of them failed.
        failed: bool,
        /// Whether it ran into its deadline.
        deadline: bool,
    },
    /// It was told to end, and has: nothing is left of it in the runtime.
    Gone,
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to begin now.
    pub actions: Vec<Action>,
    /// When to plan again at the latest; events come before.
    pub wake_at: Option<Timestamp>,
    /// What containers wait for, by name.
    pub waiting: BTreeMap<String, Waiting>,
    /// Where the pod is in its life.
    pub outcome: Outcome,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Adds an action; one planned before for the same task, a cleaning, gives way.
    fn act(&mut self, action: Action) {
        let task = action.task();
        self.actions.retain(|earlier| earlier.task() != task);
        self.actions.push(action);
    }
}

/// Decides what to do next for one pod.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if let Some(ending) = desired.ending {
        end::end(desired, observed, ending, now, &mut plan);
        return plan;
    }
    if let Some(deadline) = desired.deadline
        && observed.finished.is_none()
    {
        let at = observed.started_at + deadline;
        if at <= now {
            end::finish(
                desired,
                observed,
                Ending { since: at, grace: desired.grace },
                Why::Deadline,
                now,
                &mut plan,
            );
            plan.outcome = Outcome::Finished { failed: true, deadline: true };
            return plan;
        }
        plan.wake(at);
    }
    // What was begun before (another version of this node could) goes on.
    let untouched = observed.sandboxes.is_empty() && observed.finished.is_none();
    if let Some(why) = desired.refused.as_ref().filter(|_| untouched) {
        run::refuse(desired, observed, why, &mut plan);
        return plan;
    }
    if let Some(failed) = observed.finished.or_else(|| run::finished(desired, observed)) {
        // From here on the deadline has no meaning.
        plan.wake_at = None;
        end::finish(
            desired,
            observed,
            Ending { since: now, grace: desired.grace },
            Why::PodEnds,
            now,
            &mut plan,
        );
        plan.outcome = Outcome::Finished { failed, deadline: false };
        return plan;
    }
    run::run(desired, observed, now, &mut plan);
    plan
}
