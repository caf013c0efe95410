//! Probes of running containers.
//!
//! One task for each probe of each running container; it ends with the container and reports only changes of
//! its verdict. Restarting is not decided here but in [`crate::plan`].

mod http;
mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use rand::RngExt;
use run::{Outcome, Target};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Handles;
use crate::events::EventType;
use crate::plan::ProbeKind;

/// What a probe has found out about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Id of the container.
    pub(crate) id: String,
    pub(crate) kind: ProbeKind,
    pub(crate) good: bool,
}

/// Probe tasks of one pod.
pub(crate) struct Probes {
    handles: Handles,
    verdicts: mpsc::UnboundedSender<Verdict>,
    tasks: HashMap<(String, ProbeKind), JoinHandle<()>>,
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

/// A container that runs.
pub(crate) struct Running<'a> {
    pub(crate) id: &'a str,
    pub(crate) container: &'a Container,
    pub(crate) since: Timestamp,
    /// Whether its startup probe has succeeded, or it has none.
    pub(crate) started: bool,
    pub(crate) address: String,
}

impl Probes {
    pub(crate) fn new(handles: Handles, verdicts: mpsc::UnboundedSender<Verdict>) -> Probes {
        Probes { handles, verdicts, tasks: HashMap::new() }
    }

    /// Starts the probes that should run and ends all others.
    pub(crate) fn keep(&mut self, pod: &Arc<Pod>, running: &[Running<'_>]) {
        let mut wanted = HashMap::new();
        for r in running {
            let c = r.container;
            // Until a container has started, its other probes wait.
            if r.started {
                wanted.extend(
                    c.liveness_probe.as_ref().map(|p| ((r.id.to_owned(), ProbeKind::Liveness), (r, p))),
                );
                wanted.extend(
                    c.readiness_probe.as_ref().map(|p| ((r.id.to_owned(), ProbeKind::Readiness), (r, p))),
                );
            } else {
                wanted.extend(
                    c.startup_probe.as_ref().map(|p| ((r.id.to_owned(), ProbeKind::Startup), (r, p))),
                );
            }
        }
        self.tasks.retain(|key, task| {
            let keep = wanted.contains_key(key);
            if !keep {
                task.abort();
            }
            keep
        });
        for (key, (running, probe)) in wanted {
            if !self.tasks.contains_key(&key) {
                let task = tokio::spawn(self.prober(pod, running, key.1, probe).run());
                self.tasks.insert(key, task);
            }
        }
    }

    fn prober(&self, pod: &Arc<Pod>, running: &Running<'_>, kind: ProbeKind, probe: &Probe) -> Prober {
        Prober {
            target: Target {
                id: running.id.to_owned(),
                address: running.address.clone(),
                container: running.container.clone(),
                timeout: seconds(probe.timeout_seconds, 1),
            },
            handles: self.handles.clone(),
            verdicts: self.verdicts.clone(),
            pod: pod.clone(),
            kind,
            since: running.since,
            probe: probe.clone(),
        }
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default))
}

/// One probe of one container.
struct Prober {
    target: Target,
    handles: Handles,
    verdicts: mpsc::UnboundedSender<Verdict>,
    pod: Arc<Pod>,
    kind: ProbeKind,
    since: Timestamp,
    probe: Probe,
}

impl Prober {
    async fn run(self) {
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        let delay = seconds(self.probe.initial_delay_seconds, 0);
        self.handles.clock.sleep_until(self.since + delay).await;
        // Many pods that start together should not be probed in step.
        let spread = rand::rng().random_range(0..=period.as_millis() as u64 / 10);
        if self.kind != ProbeKind::Startup && delay.is_zero() {
            tokio::time::sleep(Duration::from_millis(spread)).await;
        }
        let threshold = |n: Option<i32>, default: i32| n.unwrap_or(default).max(1);
        let needed = threshold(self.probe.success_threshold, 1);
        let allowed = threshold(self.probe.failure_threshold, 3);
        let mut verdict: Option<bool> = None;
        let (mut last, mut run) = (true, 0);
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let outcome = run::probe(&self.handles, &self.target, &self.probe).await;
            let good = matches!(outcome, Outcome::Success);
            run = if good == last { run + 1 } else { 1 };
            last = good;
            if let Outcome::Failure(message) = &outcome {
                self.report(message);
            }
            if run >= if good { needed } else { allowed } && verdict != Some(good) {
                verdict = Some(good);
                let verdict = Verdict { id: self.target.id.clone(), kind: self.kind, good };
                if self.verdicts.send(verdict).is_err() {
                    return;
                }
            }
        }
    }

    fn report(&self, message: &str) {
        let word = match self.kind {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        };
        let text = format!("{word} probe failed: {message}");
        let name = Some(self.target.container.name.as_str());
        self.handles.events.pod(&self.pod, name, EventType::Warning, "Unhealthy", text);
    }
}
