//! A pod that shall run: sandbox, init containers and sidecars in order, containers, restarts.

use jiff::Timestamp;

use super::backoff::{crash_delay, next_level, retry_delay, sandbox_delay};
use super::{
    Action, Desired, DesiredContainer, Doing, Failure, Instance, Observed, Outcome, Plan, ProbeKind,
    RestartPolicy, Sandbox, State, Task, Waiting, Why,
};

/// Whether the pod has ended for good, and if so whether it failed.
pub(super) fn finished(desired: &Desired, observed: &Observed) -> Option<bool> {
    let settled = |c: &DesiredContainer| match observed.newest(&c.name)?.state {
        State::Exited { code, .. } if !restarts(desired.policy(c), code) => Some(code),
        _ => None,
    };
    let init_failed =
        desired.init.iter().filter(|c| !c.sidecar).any(|c| settled(c).is_some_and(|code| code != 0));
    if init_failed {
        return Some(true);
    }
    let mut failed = false;
    for c in &desired.containers {
        failed |= settled(c)? != 0;
    }
    (!desired.containers.is_empty()).then_some(failed)
}

fn restarts(policy: RestartPolicy, code: i32) -> bool {
    match policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => code != 0,
        RestartPolicy::Never => false,
    }
}

/// Plans a pod that shall run.
pub(super) fn run(desired: &Desired, observed: &Observed, now: Timestamp, plan: &mut Plan) {
    let Some(sandbox) = observed.sandboxes.first().filter(|s| s.ready) else {
        return new_sandbox(desired, observed, now, plan);
    };
    clean(observed, sandbox, plan);
    let mut runner = Runner { desired, observed, sandbox, now, plan };
    let initialized = runner.init();
    for c in &desired.containers {
        if initialized {
            runner.keep_running(c);
        } else if observed.newest(&c.name).is_none_or(|i| i.sandbox != sandbox.id) {
            runner.plan.waiting.insert(c.name.clone(), Waiting::Init);
        }
    }
}

/// Lets every container wait, and say why.
pub(super) fn refuse(desired: &Desired, observed: &Observed, why: &str, plan: &mut Plan) {
    let reason = "CreateContainerConfigError".to_owned();
    plan.outcome = Outcome::Refused;
    let failure = Failure { count: 1, at: observed.started_at, reason, message: why.to_owned() };
    for c in desired.init.iter().chain(&desired.containers) {
        plan.waiting.insert(c.name.clone(), Waiting::Retry(failure.clone()));
    }
}

/// Makes a sandbox where there is none, or the last one is broken.
fn new_sandbox(desired: &Desired, observed: &Observed, now: Timestamp, plan: &mut Plan) {
    for c in desired.init.iter().chain(&desired.containers) {
        plan.waiting.insert(c.name.clone(), Waiting::Sandbox);
    }
    if observed.doing.contains_key(&Task::Sandbox) {
        return;
    }
    // What still runs in a broken sandbox is stopped with it: a pod never has two instances.
    let runs = |i: &Instance| matches!(i.state, State::Running { .. });
    if let Some(broken) = observed.sandboxes.first()
        && observed.containers.values().flatten().any(runs)
    {
        return plan.act(Action::StopSandbox { id: broken.id.clone() });
    }
    if let Some(failure) = observed.failures.get(&Task::Sandbox) {
        let again = failure.at + sandbox_delay(failure.count);
        if again > now {
            return plan.wake(again);
        }
    }
    let attempt = observed.sandboxes.iter().map(|s| s.attempt + 1).max().unwrap_or(0);
    plan.act(Action::CreateSandbox { attempt });
}

/// Removes what has no further use: all but the last two instances of a container, and sandboxes without them.
fn clean(observed: &Observed, current: &Sandbox, plan: &mut Plan) {
    for (name, instances) in &observed.containers {
        if observed.doing(name).is_some() {
            continue;
        }
        // One at a time: there is one action for each container.
        let oldest = instances.iter().skip(2).rfind(|i| !i.is_live() && i.sandbox == current.id);
        if let Some(old) = oldest {
            plan.act(Action::RemoveContainer { container: name.clone(), id: old.id.clone() });
        }
    }
    if observed.doing.contains_key(&Task::Sandbox) {
        return;
    }
    let old = observed.sandboxes.iter().skip(1).rfind(|s| {
        s.ready || !observed.containers.values().any(|list| list.iter().take(2).any(|i| i.sandbox == s.id))
    });
    if let Some(old) = old {
        let id = old.id.clone();
        plan.act(if old.ready { Action::StopSandbox { id } } else { Action::RemoveSandbox { id } });
    }
}

struct Runner<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    sandbox: &'a Sandbox,
    now: Timestamp,
    plan: &'a mut Plan,
}

impl<'a> Runner<'a> {
    /// Carries the init containers on; whether they have all done their part.
    fn init(&mut self) -> bool {
        let here = |c: &DesiredContainer| self.instance(c).is_some();
        // Once a container of this sandbox exists, the init containers were through, even if they are gone.
        let passed = self.desired.containers.iter().any(here);
        for c in &self.desired.init {
            if c.sidecar {
                self.keep_running(c);
                if !passed && !self.is_up(c) {
                    self.wait_behind(c);
                    return false;
                }
            } else if !passed {
                match self.instance(c).map(|i| i.state) {
                    Some(State::Exited { code: 0, .. }) => {}
                    _ => {
                        self.keep_running(c);
                        self.wait_behind(c);
                        return false;
                    }
                }
            }
        }
        true
    }

    /// The init containers behind `blocker` wait for it; sidecars among them that run already go on.
    fn wait_behind(&mut self, blocker: &DesiredContainer) {
        let behind = self.desired.init.iter().skip_while(|c| c.name != blocker.name).skip(1);
        for c in behind {
            if self.instance(c).is_none() {
                self.plan.waiting.insert(c.name.clone(), Waiting::Init);
            }
        }
    }

    /// The newest instance of a container, where it belongs to the current sandbox.
    fn instance(&self, c: &DesiredContainer) -> Option<&'a Instance> {
        self.observed.newest(&c.name).filter(|i| i.sandbox == self.sandbox.id)
    }

    fn is_up(&self, c: &DesiredContainer) -> bool {
        self.instance(c)
            .is_some_and(|i| matches!(i.state, State::Running { .. }) && (i.started || !c.startup_probe))
    }

    /// Sees to it that a container runs, or has run as its policy wants.
    fn keep_running(&mut self, c: &DesiredContainer) {
        let observed = self.observed;
        let Some(newest) = observed.newest(&c.name) else {
            return self.start(c, 0, 0);
        };
        if newest.sandbox != self.sandbox.id {
            return match newest.state {
                // Its first start was interrupted, or nothing says that it ever ran.
                State::Created => self.start(c, newest.restarts, newest.level),
                State::Exited { code, .. } if !self.is_init(c) && !restarts(self.desired.policy(c), code) => {
                }
                _ => self.start(c, newest.restarts + 1, newest.level),
            };
        }
        match newest.state {
            State::Created => self.remove_leftover(c, newest),
            State::Running { .. } => self.check_running(c, newest),
            State::Unknown => self.kill(c, newest, Why::Unknown),
            State::Exited { ran, at, code } => {
                if newest.hash != c.hash {
                    return self.start(c, newest.restarts + 1, 0);
                }
                if !restarts(self.desired.policy(c), code) {
                    return;
                }
                let level = next_level(newest.level, ran);
                let delay = crash_delay(level);
                let again = at + delay;
                if again > self.now {
                    self.plan.wake(again);
                    self.plan.waiting.insert(c.name.clone(), Waiting::CrashLoop { delay });
                    return;
                }
                self.start(c, newest.restarts + 1, level + 1);
            }
        }
    }

    fn is_init(&self, c: &DesiredContainer) -> bool {
        self.desired.init.iter().any(|init| init.name == c.name)
    }

    fn check_running(&mut self, c: &DesiredContainer, instance: &Instance) {
        if let Some(unhealthy) = instance.unhealthy {
            self.kill(c, instance, Why::Unhealthy(unhealthy));
        } else if instance.hash != c.hash {
            self.kill(c, instance, Why::Changed);
        }
    }

    /// A start was interrupted between making and starting the container.
    fn remove_leftover(&mut self, c: &DesiredContainer, instance: &Instance) {
        self.plan.waiting.insert(c.name.clone(), Waiting::Creating);
        if self.observed.doing(&c.name).is_none() {
            self.plan.act(Action::RemoveContainer { container: c.name.clone(), id: instance.id.clone() });
        }
    }

    fn start(&mut self, c: &DesiredContainer, restarts: u32, level: u32) {
        if self.observed.doing(&c.name).is_some() {
            self.plan.waiting.insert(c.name.clone(), Waiting::Creating);
            return;
        }
        if let Some(failure) = self.observed.failure(&c.name) {
            let again = failure.at + retry_delay(failure.count);
            if again > self.now {
                self.plan.wake(again);
                self.plan.waiting.insert(c.name.clone(), Waiting::Retry(failure.clone()));
                return;
            }
        }
        self.plan.waiting.insert(c.name.clone(), Waiting::Creating);
        self.plan.act(Action::Start {
            container: c.name.clone(),
            sandbox: self.sandbox.id.clone(),
            restarts,
            level,
        });
    }

    fn kill(&mut self, c: &DesiredContainer, instance: &Instance, why: Why) {
        let grace = match &why {
            Why::Unhealthy(u) if u.probe == ProbeKind::Startup => c.startup_grace,
            Why::Unhealthy(_) => c.liveness_grace,
            _ => None,
        };
        if matches!(self.observed.doing(&c.name), None | Some(Doing::Starting)) {
            if self.observed.doing(&c.name).is_some() {
                // The start is about to report; the kill follows.
                return;
            }
            self.plan.act(Action::Kill {
                container: c.name.clone(),
                id: instance.id.clone(),
                grace: grace.unwrap_or(self.desired.grace),
                why,
            });
        }
    }
}
