//! The core/v1 status of a pod, from what is wanted and what is so.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reeve_proto::cri as proto;

use crate::plan::{Outcome, Plan, Waiting};
use crate::spec::qos_class;
use crate::workers::seen::{Seen, Verdicts, has_ended, restarts, time};

/// All that a status is made from.
pub(crate) struct Sources<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) seen: &'a Seen,
    pub(crate) verdicts: &'a Verdicts,
    pub(crate) plan: &'a Plan,
    pub(crate) accepted: Timestamp,
    pub(crate) node_ip: Option<IpAddr>,
    /// Why this node cannot run it.
    pub(crate) refused: Option<&'a str>,
    pub(crate) previous: Option<&'a PodStatus>,
    pub(crate) now: Timestamp,
}

/// Makes the status.
pub(crate) fn build(from: &Sources<'_>) -> PodStatus {
    let spec = from.pod.spec.clone().unwrap_or_default();
    let init = spec.init_containers.unwrap_or_default();
    let init_statuses: Vec<_> = init.iter().map(|c| container(from, c, true)).collect();
    let statuses: Vec<_> = spec.containers.iter().map(|c| container(from, c, false)).collect();
    let phase = phase(from, &statuses, &init_statuses);
    let host_network = spec.host_network == Some(true);
    let host: Vec<IpAddr> = from.node_ip.into_iter().collect();
    let ips = match from.seen.addresses() {
        [] if host_network && !from.seen.sandboxes.is_empty() => host.clone(),
        addresses => addresses.to_vec(),
    };
    let mut status = PodStatus {
        phase: Some(phase.into()),
        start_time: Some(Time(from.accepted)),
        qos_class: Some(qos_class(from.pod).as_str().into()),
        host_ip: host.first().map(ToString::to_string),
        host_ips: (!host.is_empty()).then(|| host.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        ..PodStatus::default()
    };
    if from.plan.outcome == Outcome::Refused {
        status.reason = Some("Unsupported".into());
        status.message = from.refused.map(str::to_owned);
    }
    if matches!(from.plan.outcome, Outcome::Finished { deadline: true, .. }) {
        status.reason = Some("DeadlineExceeded".into());
        status.message = Some("Pod was active on the node longer than the specified deadline".into());
    }
    status.conditions = Some(conditions(from, phase, &init, &init_statuses, &statuses));
    status.init_container_statuses = (!init_statuses.is_empty()).then_some(init_statuses);
    status.container_statuses = Some(statuses);
    status
}

fn phase(from: &Sources<'_>, statuses: &[ContainerStatus], init: &[ContainerStatus]) -> &'static str {
    if let Outcome::Finished { failed, .. } = from.plan.outcome {
        return if failed { "Failed" } else { "Succeeded" };
    }
    let ended = |s: &ContainerStatus| s.state.as_ref().is_some_and(|s| s.terminated.is_some());
    let code =
        |s: &ContainerStatus| s.state.as_ref().and_then(|s| s.terminated.as_ref()).map_or(0, |t| t.exit_code);
    if from.pod.metadata.deletion_timestamp.is_some() && !statuses.is_empty() && statuses.iter().all(ended) {
        return if statuses.iter().any(|s| code(s) != 0) { "Failed" } else { "Succeeded" };
    }
    let began = |s: &ContainerStatus| {
        s.last_state.as_ref().is_some_and(|s| s.terminated.is_some())
            || s.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some())
    };
    let initializing = init.iter().any(|s| s.started != Some(true) && !(ended(s) && code(s) == 0));
    if initializing && !statuses.iter().any(began) {
        return "Pending";
    }
    if statuses.iter().all(began) { "Running" } else { "Pending" }
}

fn container(from: &Sources<'_>, c: &Container, init: bool) -> ContainerStatus {
    let list = from.seen.containers.get(&c.name).map_or(&[][..], Vec::as_slice);
    let previous = previous(from, &c.name);
    let image = c.image.clone().unwrap_or_default();
    let Some(newest) = list.first() else {
        // Its containers are removed already: what was last known of them is the truth.
        if let Some(previous) = previous.filter(|p| p.container_id.is_some()) {
            let mut kept = previous.clone();
            kept.ready = false;
            kept.started = Some(false);
            return kept;
        }
        return ContainerStatus {
            name: c.name.clone(),
            image,
            image_id: String::new(),
            ready: false,
            started: Some(false),
            restart_count: 0,
            state: Some(waiting(from, c, None)),
            last_state: Some(ContainerState::default()),
            ..ContainerStatus::default()
        };
    };
    let running = newest.state == proto::ContainerState::ContainerRunning as i32;
    let started = running && (c.startup_probe.is_none() || from.verdicts.started.contains(&newest.id));
    let sidecar = c.restart_policy.as_deref() == Some("Always");
    let ready = if init && !sidecar {
        has_ended(newest) && newest.exit_code == 0
    } else {
        started && (c.readiness_probe.is_none() || from.verdicts.ready.contains(&newest.id))
    };
    let (state, last) = states(from, c, list);
    ContainerStatus {
        name: c.name.clone(),
        image: if image.is_empty() { newest.image.clone().unwrap_or_default().image } else { image },
        image_id: if newest.image_id.is_empty() { newest.image_ref.clone() } else { newest.image_id.clone() },
        container_id: Some(from.seen.container_id(&newest.id)),
        ready,
        started: Some(started),
        restart_count: i32::try_from(restarts(newest)).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: Some(last),
        ..ContainerStatus::default()
    }
}

fn previous<'a>(from: &Sources<'a>, name: &str) -> Option<&'a ContainerStatus> {
    let previous = from.previous?;
    let all = previous.container_statuses.iter().chain(&previous.init_container_statuses);
    all.flatten().find(|s| s.name == name)
}

/// The state of a container, and the one before.
fn states(
    from: &Sources<'_>,
    c: &Container,
    list: &[proto::ContainerStatus],
) -> (ContainerState, ContainerState) {
    let terminated = |c| terminated(from.seen, c);
    let older = list.get(1).filter(|c| has_ended(c)).map(terminated).unwrap_or_default();
    let Some(newest) = list.first() else { return (waiting(from, c, None), older) };
    match proto::ContainerState::try_from(newest.state) {
        Ok(proto::ContainerState::ContainerRunning) => {
            let started_at = time(newest.started_at).map(Time);
            let running = Some(ContainerStateRunning { started_at });
            (ContainerState { running, ..ContainerState::default() }, older)
        }
        Ok(proto::ContainerState::ContainerExited) => {
            let shows_wait =
                matches!(from.plan.waiting.get(&c.name), Some(Waiting::CrashLoop { .. } | Waiting::Retry(_)));
            if shows_wait {
                (waiting(from, c, Some(newest)), terminated(newest))
            } else {
                (terminated(newest), older)
            }
        }
        _ => (waiting(from, c, Some(newest)), older),
    }
}

fn terminated(seen: &Seen, c: &proto::ContainerStatus) -> ContainerState {
    let reason = match (c.reason.as_str(), c.exit_code) {
        ("", 0) => "Completed".to_owned(),
        ("", _) => "Error".to_owned(),
        (reason, _) => reason.to_owned(),
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(seen.container_id(&c.id)),
            exit_code: c.exit_code,
            finished_at: time(c.finished_at).map(Time),
            started_at: time(c.started_at).map(Time),
            reason: Some(reason),
            message: seen.message(&c.id).map(str::to_owned),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn waiting(from: &Sources<'_>, c: &Container, newest: Option<&proto::ContainerStatus>) -> ContainerState {
    let init =
        from.pod.spec.as_ref().is_some_and(|s| s.init_containers.as_ref().is_some_and(|l| !l.is_empty()));
    let (reason, message) = match from.plan.waiting.get(&c.name) {
        Some(Waiting::CrashLoop { delay }) => {
            ("CrashLoopBackOff".to_owned(), Some(back_off_message(from.pod, &c.name, delay.as_secs())))
        }
        Some(Waiting::Retry(failure)) if failure.reason == "ErrImagePull" => {
            let image = c.image.as_deref().unwrap_or_default();
            let message = format!("Back-off pulling image {image:?}: ErrImagePull: {}", failure.message);
            ("ImagePullBackOff".to_owned(), Some(message))
        }
        Some(Waiting::Retry(failure)) => (failure.reason.clone(), Some(failure.message.clone())),
        Some(Waiting::Init) => ("PodInitializing".to_owned(), None),
        Some(Waiting::Sandbox) if init => ("PodInitializing".to_owned(), None),
        None if newest.is_none() && init => ("PodInitializing".to_owned(), None),
        _ => ("ContainerCreating".to_owned(), None),
    };
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason), message }),
        ..ContainerState::default()
    }
}

/// `back-off 40s restarting failed container=web pod=web_default(uid)`, as the kubelet words it.
pub(crate) fn back_off_message(pod: &Pod, container: &str, seconds: u64) -> String {
    let delay = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    };
    format!("back-off {delay} restarting failed container={container} pod={}", pod_words(pod))
}

/// `name_namespace(uid)`
pub(crate) fn pod_words(pod: &Pod) -> String {
    let key = crate::pod::PodKey::of(pod);
    format!("{}_{}({})", key.name, key.namespace, key.uid)
}

fn conditions(
    from: &Sources<'_>,
    phase: &str,
    init: &[Container],
    init_statuses: &[ContainerStatus],
    statuses: &[ContainerStatus],
) -> Vec<PodCondition> {
    let sandbox = from.seen.sandboxes.first().is_some_and(|s| s.ready);
    let sidecars: Vec<&str> = init
        .iter()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let began = statuses.iter().any(|s| s.container_id.is_some());
    let initialized = began
        || init_statuses
            .iter()
            .all(|s| if sidecars.contains(&s.name.as_str()) { s.started == Some(true) } else { s.ready });
    let unready: Vec<&str> = statuses
        .iter()
        .chain(init_statuses.iter().filter(|s| sidecars.contains(&s.name.as_str())))
        .filter(|s| !s.ready)
        .map(|s| s.name.as_str())
        .collect();
    let ended = matches!(phase, "Succeeded" | "Failed");
    let not_ready = match (ended, unready.is_empty()) {
        (true, _) if phase == "Succeeded" => Some(("PodCompleted", None)),
        (true, _) => Some(("PodFailed", None)),
        (false, false) => Some((
            "ContainersNotReady",
            Some(format!("containers with unready status: [{}]", unready.join(" "))),
        )),
        (false, true) => None,
    };
    let uninitialized = (!initialized).then(|| {
        let names: Vec<&str> = init_statuses.iter().filter(|s| !s.ready).map(|s| s.name.as_str()).collect();
        (
            "ContainersNotInitialized",
            Some(format!("containers with incomplete status: [{}]", names.join(" "))),
        )
    });
    [
        ("PodReadyToStartContainers", (!sandbox).then_some(("", None))),
        ("Initialized", uninitialized),
        ("Ready", not_ready.clone()),
        ("ContainersReady", not_ready),
        ("PodScheduled", None),
    ]
    .into_iter()
    .map(|(kind, trouble)| condition(from, kind, trouble))
    .collect()
}

fn condition(from: &Sources<'_>, kind: &str, trouble: Option<(&str, Option<String>)>) -> PodCondition {
    let status = if trouble.is_none() { "True" } else { "False" };
    let (reason, message) = trouble.unwrap_or_default();
    let before = from
        .previous
        .and_then(|p| p.conditions.as_ref())
        .and_then(|list| list.iter().find(|c| c.type_ == kind && c.status == status));
    let since = before.and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(from.now));
    PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        message,
        last_transition_time: Some(since),
        ..PodCondition::default()
    }
}
