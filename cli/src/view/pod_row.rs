//! A pod in one line: READY, STATUS and RESTARTS computed from core/v1 status by the rules that kubectl's
//! table follows (`printPod` of Kubernetes' server-side printers), so that both show the same words.

use k8s_openapi::api::core::v1::{Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;

use super::age;

/// Heads of the plain table.
pub(crate) const HEAD: [&str; 5] = ["NAME", "READY", "STATUS", "RESTARTS", "AGE"];

/// What one line says of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// `ready/total` containers, sidecars counted, plain init containers not.
    pub(crate) ready: String,
    /// One word: the phase, or the reason that says more.
    pub(crate) status: String,
    /// A number, with the age of the last restart: `3 (42s ago)`.
    pub(crate) restarts: String,
    pub(crate) age: String,
    pub(crate) ip: String,
    pub(crate) node: String,
    /// Host ports, as `8080->80/TCP`.
    pub(crate) node_port: String,
}

impl PodRow {
    /// The line for `pod` as seen at `now`.
    pub(crate) fn of(pod: &Pod, now: Timestamp) -> PodRow {
        let tally = Tally::of(pod);
        let none = || "<none>".to_owned();
        let status = pod.status.as_ref();
        PodRow {
            namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".into()),
            name: pod.metadata.name.clone().unwrap_or_default(),
            ready: format!("{}/{}", tally.ready, tally.total),
            restarts: tally.restarts(now),
            status: tally.reason,
            age: age::since(pod.metadata.creation_timestamp.as_ref().map(|t| &t.0), now),
            ip: status.and_then(|s| s.pod_ip.clone()).filter(|ip| !ip.is_empty()).unwrap_or_else(none),
            node: pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_else(none),
            node_port: node_ports(pod),
        }
    }
}

/// What a walk over the container statuses adds up to.
struct Tally {
    ready: usize,
    total: usize,
    restarts: i32,
    last_restart: Option<Timestamp>,
    reason: String,
}

impl Tally {
    fn of(pod: &Pod) -> Tally {
        let inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
        let containers = pod.spec.as_ref().map_or(0, |s| s.containers.len());
        let mut tally = Tally {
            ready: 0,
            total: containers + inits.filter(|c| is_sidecar(c)).count(),
            restarts: 0,
            last_restart: None,
            reason: phase_or_reason(pod),
        };
        let sidecars = tally.add_init(pod);
        if let Some((restarts, last)) = sidecars {
            (tally.restarts, tally.last_restart) = (restarts, last);
            tally.add_containers(pod);
        }
        tally.override_by_deletion(pod);
        tally
    }

    /// Walks the init containers. `Some` when the pod is past initialising: the sidecars' own restarts, which
    /// are all that is then left to count of this walk.
    fn add_init(&mut self, pod: &Pod) -> Option<(i32, Option<Timestamp>)> {
        let spec = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
        let spec: Vec<&Container> = spec.collect();
        let statuses = pod.status.iter().flat_map(|s| s.init_container_statuses.iter().flatten());
        let mut sidecars = (0, None);
        let mut initialising = false;
        for (at, status) in statuses.enumerate() {
            let sidecar = spec.iter().any(|c| c.name == status.name && is_sidecar(c));
            self.count_restarts(status);
            if sidecar {
                sidecars.0 += status.restart_count;
                sidecars.1 = sidecars.1.max(last_finish(status));
            }
            match init_step(status, sidecar) {
                InitStep::Done => {}
                InitStep::Serving { ready } => self.ready += usize::from(ready),
                InitStep::Stuck(why) => {
                    let progress = || format!("{at}/{}", spec.len());
                    self.reason = format!("Init:{}", why.unwrap_or_else(progress));
                    initialising = true;
                    break;
                }
            }
        }
        (!initialising || has_condition(pod, "Initialized")).then_some(sidecars)
    }

    /// Walks the containers, last first, so that the first one's reason wins.
    fn add_containers(&mut self, pod: &Pod) {
        let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
        let mut running = false;
        for status in statuses.iter().rev() {
            self.count_restarts(status);
            let state = status.state.as_ref();
            let waiting = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.clone());
            if let Some(reason) = waiting.filter(|reason| !reason.is_empty()) {
                self.reason = reason;
            } else if let Some(terminated) = state.and_then(|s| s.terminated.as_ref()) {
                self.reason = ended(terminated);
            } else if status.ready && is_running(state) {
                running = true;
                self.ready += 1;
            }
        }
        if running && self.reason == "Completed" {
            self.reason = if has_condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
        }
    }

    fn override_by_deletion(&mut self, pod: &Pod) {
        if pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let status = pod.status.as_ref();
        let phase = status.and_then(|s| s.phase.as_deref()).unwrap_or_default();
        if status.and_then(|s| s.reason.as_deref()) == Some("NodeLost") {
            self.reason = "Unknown".into();
        } else if phase != "Succeeded" && phase != "Failed" {
            self.reason = "Terminating".into();
        }
    }

    fn count_restarts(&mut self, status: &ContainerStatus) {
        self.restarts += status.restart_count;
        self.last_restart = self.last_restart.max(last_finish(status));
    }

    fn restarts(&self, now: Timestamp) -> String {
        match &self.last_restart {
            Some(last) if self.restarts != 0 => {
                format!("{} ({} ago)", self.restarts, age::since(Some(last), now))
            }
            _ => self.restarts.to_string(),
        }
    }
}

/// How far an init container is.
enum InitStep {
    Done,
    Serving {
        ready: bool,
    },
    /// The pod waits for this one; why, where the status says so.
    Stuck(Option<String>),
}

fn init_step(status: &ContainerStatus, sidecar: bool) -> InitStep {
    let state = status.state.as_ref();
    let terminated = state.and_then(|s| s.terminated.as_ref());
    if terminated.is_some_and(|t| t.exit_code == 0) {
        return InitStep::Done;
    }
    if sidecar && status.started == Some(true) {
        return InitStep::Serving { ready: status.ready };
    }
    if let Some(terminated) = terminated {
        return InitStep::Stuck(Some(ended(terminated)));
    }
    let waiting = state.and_then(|s| s.waiting.as_ref()).and_then(|w| w.reason.clone());
    InitStep::Stuck(waiting.filter(|reason| !reason.is_empty() && reason != "PodInitializing"))
}

/// Why a container ended: its reason, else the signal or code.
fn ended(terminated: &ContainerStateTerminated) -> String {
    match (terminated.reason.as_deref().unwrap_or_default(), terminated.signal.unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn phase_or_reason(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let gated = status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated"));
    if gated {
        return "SchedulingGated".into();
    }
    let reason = status.and_then(|s| s.reason.clone()).filter(|reason| !reason.is_empty());
    reason.or_else(|| status.and_then(|s| s.phase.clone())).unwrap_or_else(|| "Pending".into())
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn is_running(state: Option<&ContainerState>) -> bool {
    state.is_some_and(|s| s.running.is_some())
}

fn last_finish(status: &ContainerStatus) -> Option<Timestamp> {
    let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    last.and_then(|t| t.finished_at.as_ref()).map(|t| t.0)
}

fn has_condition(pod: &Pod, name: &str) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| c.type_ == name && c.status == "True")
}

/// The ports by which a pod is reached on this node: `8080->80/TCP`, on the host network just `80/TCP`.
fn node_ports(pod: &Pod) -> String {
    let Some(spec) = &pod.spec else { return "<none>".into() };
    let host_network = spec.host_network == Some(true);
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_sidecar(c));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
    let shown: Vec<String> = ports
        .filter_map(|port| {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            match port.host_port.filter(|port| *port != 0) {
                Some(host) if !host_network => Some(format!("{host}->{}/{protocol}", port.container_port)),
                Some(host) => Some(format!("{host}/{protocol}")),
                None if host_network => Some(format!("{}/{protocol}", port.container_port)),
                None => None,
            }
        })
        .collect();
    if shown.is_empty() { "<none>".into() } else { shown.join(",") }
}

#[cfg(test)]
mod tests;
