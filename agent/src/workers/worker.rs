//! One pod's worker: read what is so, plan, begin, publish, sleep until something happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::execute::{Done, Executor, Fault};
use super::record::Record;
use super::seen::{Seen, Verdicts};
use crate::Handles;
use crate::events::EventType;
use crate::plan::{
    Action, Desired, Doing, Ending, Failure, Instance, Observed, Outcome, Plan, ProbeKind, State, Task,
    Waiting, plan,
};
use crate::pod::PodKey;
use crate::probes::{Probes, Running, Verdict};
use crate::status::build;
use crate::volumes;

/// How long a step waits before it is tried again at once; more often would be a busy loop.
const PAUSE: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    /// Whether no source declares it any more.
    pub(crate) gone: bool,
}

/// How the pool reaches a worker.
pub(crate) struct Mail {
    pub(crate) wishes: watch::Sender<Wish>,
    /// Says that the runtime's state changed.
    pub(crate) stale: Arc<Notify>,
}

/// One pod's worker.
pub(crate) struct Worker {
    handles: Handles,
    agent: Arc<str>,
    key: PodKey,
    record: Record,
    wishes: watch::Receiver<Wish>,
    stale: Arc<Notify>,
    seen: Arc<Seen>,
    verdicts: Verdicts,
    probes: Probes,
    probed: mpsc::UnboundedReceiver<Verdict>,
    jobs: JoinSet<(Task, Action, Done)>,
    doing: BTreeMap<Task, (Doing, CancellationToken)>,
    last: HashMap<Task, Action>,
    failures: BTreeMap<Task, Failure>,
    told: HashSet<(String, u32)>,
    /// Why this node cannot run the pod.
    refused: Option<String>,
    status: Option<PodStatus>,
}

impl Worker {
    /// A worker and the way to reach it. The record is on disk already.
    pub(crate) fn new(handles: Handles, agent: Arc<str>, record: Record, gone: bool) -> (Worker, Mail) {
        let (sender, wishes) = watch::channel(Wish { pod: Arc::new(record.pod.clone()), gone });
        let stale = Arc::new(Notify::new());
        let (verdicts, probed) = mpsc::unbounded_channel();
        let worker = Worker {
            probes: Probes::new(handles.clone(), verdicts),
            key: PodKey::of(&record.pod),
            status: record.finished.clone(),
            handles,
            agent,
            wishes,
            stale: stale.clone(),
            seen: Arc::default(),
            verdicts: Verdicts {
                started: record.started.iter().cloned().collect(),
                ready: record.ready.iter().cloned().collect(),
                ..Verdicts::default()
            },
            probed,
            jobs: JoinSet::new(),
            doing: BTreeMap::new(),
            last: HashMap::new(),
            failures: BTreeMap::new(),
            told: HashSet::new(),
            refused: if gone { None } else { refusal(&record.pod) },
            record,
        };
        (worker, Mail { wishes: sender, stale })
    }

    /// Works until nothing of the pod is left (`true`), or until `leave`, which leaves all as it is.
    pub(crate) async fn run(mut self, leave: CancellationToken) -> bool {
        if let Some(why) = self.refused.clone() {
            self.handles.events.pod(&self.record.pod, None, EventType::Warning, "FailedValidation", why);
        }
        let mut read = true;
        loop {
            if read && !self.refresh().await {
                // Unknown is not absent: without knowing what is so, nothing is done.
                tokio::select! {
                    () = leave.cancelled() => return false,
                    () = tokio::time::sleep(PAUSE) => continue,
                }
            }
            let begun = self.handles.clock.now();
            let plan = self.decide(begun);
            if plan.outcome == Outcome::Gone && self.forget().await {
                return true;
            }
            self.keep_probing();
            for action in plan.actions.clone() {
                self.begin(action, begun);
            }
            let took = self.handles.clock.now().duration_since(begun).as_secs_f64();
            self.handles.metrics.reconcile.observe(took);
            read = tokio::select! {
                () = leave.cancelled() => return false,
                changed = self.wishes.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    false
                }
                () = self.stale.notified() => true,
                Some(finished) = self.jobs.join_next() => {
                    self.absorb(finished);
                    true
                }
                Some(verdict) = self.probed.recv() => {
                    self.judge(verdict);
                    false
                }
                () = sleep_until(&self.handles, plan.wake_at) => false,
            };
        }
    }

    /// Reads what is so; whether that worked.
    async fn refresh(&mut self) -> bool {
        let mut seen = Seen::clone(&self.seen);
        match seen.refresh(&self.handles.cri, &self.key.uid, &self.agent).await {
            Ok(()) => {
                self.seen = Arc::new(seen);
                self.prune_verdicts();
                true
            }
            Err(status) => {
                tracing::debug!(pod = %self.key, status = status.message(), "cannot read the state of the pod");
                false
            }
        }
    }

    fn prune_verdicts(&mut self) {
        let ids: HashSet<&str> = self.seen.containers.values().flatten().map(|c| c.id.as_str()).collect();
        self.verdicts.started.retain(|id| ids.contains(id.as_str()));
        self.verdicts.ready.retain(|id| ids.contains(id.as_str()));
        self.verdicts.unhealthy.retain(|id, _| ids.contains(id.as_str()));
    }

    /// Plans, and publishes what that says of the pod.
    fn decide(&mut self, now: Timestamp) -> Plan {
        let wish = self.wishes.borrow_and_update().clone();
        self.take_wish(&wish, now);
        let desired = self.desired();
        let plan = plan(&desired, &self.observed(), now);
        // Removal takes the containers away; what they were is the pod's last word.
        let removing = desired.ending.is_some() && self.seen.containers.is_empty() && self.status.is_some();
        if !removing {
            self.publish(&plan, now);
        }
        self.tell_back_off(&plan);
        plan
    }

    /// Keeps on disk what would change the plan after a restart of the agent.
    fn take_wish(&mut self, wish: &Wish, now: Timestamp) {
        let ends = wish.gone || wish.pod.metadata.deletion_timestamp.is_some();
        let ending = if ends { self.record.ending.or(Some(now)) } else { self.record.ending };
        if *wish.pod != self.record.pod || ending != self.record.ending {
            self.record.pod = Pod::clone(&wish.pod);
            self.record.ending = ending;
            self.save();
        }
    }

    fn save(&self) {
        if let Err(error) = self.record.write(&self.handles.config.pod_dir(&self.key.uid)) {
            tracing::error!(pod = %self.key, %error, source = %error.source, "cannot keep the pod's record");
        }
    }

    fn desired(&self) -> Desired {
        let pod = &self.record.pod;
        let mut desired = Desired::new(&pod.spec.clone().unwrap_or_default(), None);
        desired.refused = self.refused.clone();
        desired.ending = self.record.ending.map(|since| {
            let grace = pod.metadata.deletion_grace_period_seconds.and_then(|s| u64::try_from(s).ok());
            Ending { since, grace: grace.map_or(desired.grace, Duration::from_secs) }
        });
        desired
    }

    fn observed(&self) -> Observed {
        Observed {
            sandboxes: self.seen.sandboxes.clone(),
            containers: self.seen.instances(&self.verdicts),
            failures: self.failures.clone(),
            doing: self.doing.iter().map(|(task, (doing, _))| (task.clone(), *doing)).collect(),
            started_at: self.record.accepted,
            finished: self.record.finished.as_ref().map(|s| s.phase.as_deref() == Some("Failed")),
        }
    }

    fn publish(&mut self, plan: &Plan, now: Timestamp) {
        let mut pod = self.record.pod.clone();
        if let Some(since) = self.record.ending {
            pod.metadata.deletion_timestamp.get_or_insert(Time(since));
        }
        let mut status = build::build(&build::Sources {
            pod: &pod,
            seen: &self.seen,
            verdicts: &self.verdicts,
            plan,
            accepted: self.record.accepted,
            node_ip: self.handles.config.node_ip,
            refused: self.refused.as_deref(),
            previous: self.status.as_ref(),
            now,
        });
        if self.record.finished.is_some() && self.status.as_ref().is_some_and(|s| s.reason.is_some()) {
            let last = self.status.as_ref();
            status.reason = last.and_then(|s| s.reason.clone());
            status.message = last.and_then(|s| s.message.clone());
        }
        self.finish_record(plan, &status);
        pod.metadata.creation_timestamp.get_or_insert(Time(self.record.accepted));
        if let Some(spec) = &mut pod.spec {
            spec.node_name.get_or_insert_with(|| self.handles.config.node_name.clone());
        }
        pod.status = Some(status.clone());
        self.status = Some(status);
        self.handles.pods.apply(pod);
    }

    /// A pod that has ended stays ended, also after its containers are gone.
    fn finish_record(&mut self, plan: &Plan, status: &PodStatus) {
        let ended = matches!(plan.outcome, Outcome::Finished { .. });
        let stopped = self.observed().containers.values().flatten().all(|i| !i.is_live());
        if ended && stopped && self.doing.is_empty() && self.record.finished.is_none() {
            self.record.finished = Some(status.clone());
            self.save();
        }
    }

    /// Says once for each crash that the next start waits.
    fn tell_back_off(&mut self, plan: &Plan) {
        let pod = &self.record.pod;
        for (name, waiting) in &plan.waiting {
            let (mark, message) = match waiting {
                Waiting::CrashLoop { .. } => {
                    let restarts = self.seen.newest(name).map_or(0, super::seen::restarts);
                    let words = build::pod_words(pod);
                    (restarts, format!("Back-off restarting failed container {name} in pod {words}"))
                }
                Waiting::Retry(failure) if failure.reason == "ErrImagePull" => {
                    let image = definition(pod, name).and_then(|c| c.image.clone()).unwrap_or_default();
                    (failure.count, format!("Back-off pulling image {image:?}"))
                }
                _ => continue,
            };
            if self.told.insert((name.clone(), mark)) {
                self.handles.events.pod(pod, Some(name), EventType::Warning, "BackOff", message);
            }
        }
    }

    /// Begins an action, unless it is one of those the worker does itself.
    fn begin(&mut self, action: Action, now: Timestamp) {
        let task = action.task();
        if let Action::Cancel { .. } = action {
            if let Some((doing, cancel)) = self.doing.get_mut(&task) {
                *doing = Doing::Cancelled;
                cancel.cancel();
            }
            return;
        }
        let doing = match &action {
            Action::CreateSandbox { .. } | Action::Start { .. } => Doing::Starting,
            Action::Kill { grace, .. } => Doing::Killing { until: now + *grace },
            _ => Doing::Removing,
        };
        let cancel = CancellationToken::new();
        let replaces = self.doing.insert(task.clone(), (doing, cancel.clone())).is_some();
        let last = self.last.insert(task.clone(), action.clone());
        // A plan that asks for what was just done is waiting for the runtime to show it.
        let again = !replaces && last.is_some_and(|last| is_same(&last, &action));
        let executor = Executor {
            handles: self.handles.clone(),
            agent: self.agent.clone(),
            pod: Arc::new(self.record.pod.clone()),
            key: self.key.clone(),
        };
        let seen = self.seen.clone();
        self.jobs.spawn(async move {
            if again {
                tokio::time::sleep(PAUSE).await;
            }
            let done = executor.execute(action.clone(), seen, cancel).await;
            (task, action, done)
        });
    }

    fn absorb(&mut self, finished: Result<(Task, Action, Done), tokio::task::JoinError>) {
        let (task, action, done) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                // A panic in an action must not block its task for ever.
                tracing::error!(pod = %self.key, %error, "an action ended unexpectedly");
                self.doing.clear();
                return;
            }
        };
        // A kill with a shorter grace may have taken the place of this one.
        let replaced = self.last.get(&task).is_some_and(|last| *last != action);
        if !replaced {
            self.doing.remove(&task);
        }
        let makes = matches!(action, Action::CreateSandbox { .. } | Action::Start { .. });
        match done {
            Done::Ok if makes => drop(self.failures.remove(&task)),
            Done::Failed(fault) if makes => self.note_failure(task, fault),
            _ => {}
        }
    }

    fn note_failure(&mut self, task: Task, fault: Fault) {
        let count = self.failures.get(&task).map_or(0, |f| f.count) + 1;
        let at = self.handles.clock.now();
        let failure = Failure { count, at, reason: fault.reason.to_owned(), message: fault.message };
        self.failures.insert(task, failure);
    }

    fn judge(&mut self, verdict: Verdict) {
        let Verdict { id, kind, good } = verdict;
        match (kind, good) {
            (ProbeKind::Startup, true) => drop(self.verdicts.started.insert(id)),
            (ProbeKind::Readiness, true) => drop(self.verdicts.ready.insert(id)),
            (ProbeKind::Readiness, false) => drop(self.verdicts.ready.remove(&id)),
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                self.verdicts.unhealthy.insert(id, kind);
            }
            (ProbeKind::Liveness, true) => {}
        }
        let started = self.verdicts.started.iter().cloned().collect();
        let ready = self.verdicts.ready.iter().cloned().collect();
        if (&started, &ready) != (&self.record.started, &self.record.ready) {
            self.record.started = started;
            self.record.ready = ready;
            self.save();
        }
    }

    fn keep_probing(&mut self) {
        let pod = Arc::new(self.record.pod.clone());
        let address = match self.seen.addresses().first().copied().or(self.handles.config.node_ip) {
            Some(ip) => ip.to_string(),
            None => "127.0.0.1".into(),
        };
        let instances = self.seen.instances(&self.verdicts);
        let mut running = Vec::new();
        for (name, list) in &instances {
            let newest: Option<&Instance> = list.first();
            let (Some(instance), Some(container)) = (newest, definition(&pod, name)) else { continue };
            if let State::Running { since } = instance.state
                && instance.unhealthy.is_none()
                && self.record.ending.is_none()
            {
                running.push(Running {
                    id: &instance.id,
                    container,
                    since,
                    started: instance.started || container.startup_probe.is_none(),
                    address: address.clone(),
                });
            }
        }
        self.probes.keep(&pod, &running);
    }

    /// Removes what is left on disk; whether all of it is gone.
    async fn forget(&mut self) -> bool {
        let config = self.handles.config.clone();
        let key = self.key.clone();
        let pod = self.record.pod.clone();
        let removed = tokio::task::spawn_blocking(move || {
            let logs = config.pod_log_dir(&key.namespace, &key.name, &key.uid);
            match std::fs::remove_dir_all(&logs) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(path = %logs.display(), error = %e, "cannot remove logs");
                }
                _ => {}
            }
            super::cgroup::remove(&config.cgroup_parent, &pod);
            volumes::tear_down(&config.pod_dir(&key.uid))
        });
        match removed.await {
            Ok(Ok(())) => {
                self.handles.pods.remove(&self.key.uid);
                true
            }
            Ok(Err(error)) => {
                let message = format!("cannot remove {error}: {}", error.source);
                self.handles.events.pod(&self.record.pod, None, EventType::Warning, "FailedKillPod", message);
                tokio::time::sleep(PAUSE).await;
                false
            }
            Err(error) => {
                tracing::error!(pod = %self.key, %error, "removal ended unexpectedly");
                tokio::time::sleep(PAUSE).await;
                false
            }
        }
    }
}

/// Whether two actions do the same to the same; how long one waits does not matter.
fn is_same(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::Kill { id: a, .. }, Action::Kill { id: b, .. }) => a == b,
        _ => a == b,
    }
}

/// The definition of a container.
fn definition<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)
}

/// Why this node cannot run a pod; what a file declares has passed the same checks.
fn refusal(pod: &Pod) -> Option<String> {
    let refused = reeve_manifests::refusals(pod).into_iter().map(|violation| match violation.hint {
        Some(hint) => format!("{} ({hint})", violation.message),
        None => violation.message,
    });
    let reasons: Vec<String> = refused.collect();
    (!reasons.is_empty()).then(|| format!("this node cannot run the pod: {}", reasons.join("; ")))
}

async fn sleep_until(handles: &Handles, at: Option<Timestamp>) {
    match at {
        Some(at) => handles.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
