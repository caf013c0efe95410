//! A pod that shall end: containers, then sidecars from the last to the first, then its sandboxes.

use std::time::Duration;

use jiff::Timestamp;

use super::{Action, Desired, Doing, Ending, Instance, Observed, Outcome, Plan, State, Task, Why};

/// Ends the pod and removes everything of it.
pub(super) fn end(desired: &Desired, observed: &Observed, ending: Ending, now: Timestamp, plan: &mut Plan) {
    if !stop_containers(desired, observed, ending, Why::PodEnds, now, plan) {
        return;
    }
    if observed.doing.contains_key(&Task::Sandbox) {
        return;
    }
    match observed.sandboxes.iter().find(|s| s.ready).or(observed.sandboxes.last()) {
        None => plan.outcome = Outcome::Gone,
        Some(sandbox) => {
            let id = sandbox.id.clone();
            plan.act(if sandbox.ready { Action::StopSandbox { id } } else { Action::RemoveSandbox { id } });
        }
    }
}

/// Ends what still runs, but keeps containers and their logs.
pub(super) fn finish(
    desired: &Desired,
    observed: &Observed,
    ending: Ending,
    why: Why,
    now: Timestamp,
    plan: &mut Plan,
) {
    if !stop_containers(desired, observed, ending, why, now, plan)
        || observed.doing.contains_key(&Task::Sandbox)
    {
        return;
    }
    if let Some(sandbox) = observed.sandboxes.iter().find(|s| s.ready) {
        plan.act(Action::StopSandbox { id: sandbox.id.clone() });
    }
}

/// Stops containers in their order; whether none is left.
fn stop_containers(
    desired: &Desired,
    observed: &Observed,
    ending: Ending,
    why: Why,
    now: Timestamp,
    plan: &mut Plan,
) -> bool {
    let deadline = ending.since + ending.grace;
    let sidecars: Vec<&str> = desired.init.iter().filter(|c| c.sidecar).map(|c| c.name.as_str()).collect();
    let mut stopper = Stopper { observed, deadline, why, now, plan };
    let mut done = true;
    for (name, instances) in &observed.containers {
        if !sidecars.contains(&name.as_str()) {
            done &= stopper.stop(name, instances);
        }
    }
    for task in observed.doing.keys() {
        if let Task::Container(name) = task
            && !observed.containers.contains_key(name)
        {
            done &= stopper.stop(name, &[]);
        }
    }
    for name in sidecars.iter().rev() {
        if !done {
            break;
        }
        done = stopper.stop(name, observed.containers.get(*name).map_or(&[], Vec::as_slice));
    }
    done
}

struct Stopper<'a> {
    observed: &'a Observed,
    deadline: Timestamp,
    why: Why,
    now: Timestamp,
    plan: &'a mut Plan,
}

impl Stopper<'_> {
    /// Stops a container; whether it has ended.
    fn stop(&mut self, name: &str, instances: &[Instance]) -> bool {
        let live = instances.iter().find(|i| matches!(i.state, State::Running { .. } | State::Unknown));
        match self.observed.doing(name) {
            Some(Doing::Starting) => {
                self.plan.act(Action::Cancel { container: name.to_owned() });
                return false;
            }
            Some(Doing::Cancelled | Doing::Removing) => return false,
            // One under way that ends in time is left alone.
            Some(Doing::Killing { until }) if until <= self.deadline => return false,
            Some(Doing::Killing { .. }) | None => {}
        }
        let Some(live) = live else { return self.observed.doing(name).is_none() };
        let grace = Duration::try_from(self.deadline.duration_since(self.now)).unwrap_or(Duration::ZERO);
        self.plan.act(Action::Kill {
            container: name.to_owned(),
            id: live.id.clone(),
            grace,
            why: self.why.clone(),
        });
        false
    }
}
