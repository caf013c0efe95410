//! What the runtime has of one pod, read anew whenever an event says that something changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use reeve_proto::cri as proto;
use tonic::Status;

use super::labels;
use super::message::termination_message;
use crate::cri::Cri;
use crate::plan::{Instance, ProbeKind, Sandbox, State, Unhealthy};

/// Sandboxes and containers of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The newest first.
    pub(crate) sandboxes: Vec<Sandbox>,
    /// By container, the newest first.
    pub(crate) containers: BTreeMap<String, Vec<proto::ContainerStatus>>,
    /// The sandbox of each container.
    pub(crate) sandbox_of: HashMap<String, String>,
    /// Addresses by sandbox.
    addresses: HashMap<String, Vec<IpAddr>>,
    /// What containers that have ended said of it, by id: read once, since nobody writes it any more.
    messages: HashMap<String, Option<String>>,
    /// Name of the runtime.
    runtime: Arc<str>,
}

/// What probes have found out, by container id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) started: HashSet<String>,
    pub(crate) ready: HashSet<String>,
    pub(crate) unhealthy: HashMap<String, ProbeKind>,
}

impl Seen {
    /// Reads the state of a pod. Statuses that cannot change any more are taken from `self`.
    pub(crate) async fn refresh(&mut self, cri: &Cri, uid: &str, agent: &str) -> Result<(), Status> {
        let selector = HashMap::from([
            (labels::POD_UID.to_owned(), uid.to_owned()),
            (labels::AGENT.to_owned(), agent.to_owned()),
        ]);
        let filter = proto::PodSandboxFilter { label_selector: selector.clone(), ..Default::default() };
        let mut runtime = cri.runtime();
        let sandboxes = runtime.list_pod_sandbox(proto::ListPodSandboxRequest { filter: Some(filter) });
        let mut sandboxes = sandboxes.await?.into_inner().items;
        let attempt = |s: &proto::PodSandbox| s.metadata.as_ref().map_or(0, |m| m.attempt);
        sandboxes.sort_by_key(|s| std::cmp::Reverse((attempt(s), s.created_at)));

        let filter = proto::ContainerFilter { label_selector: selector, ..Default::default() };
        let listed = runtime.list_containers(proto::ListContainersRequest { filter: Some(filter) });
        let listed = listed.await?.into_inner().containers;

        let mut known: HashMap<String, proto::ContainerStatus> =
            std::mem::take(&mut self.containers).into_values().flatten().map(|c| (c.id.clone(), c)).collect();
        let mut containers: BTreeMap<String, Vec<proto::ContainerStatus>> = BTreeMap::new();
        let mut sandbox_of = HashMap::new();
        for listed in listed {
            let status = match known.remove(&listed.id) {
                Some(known) if known.state == listed.state => known,
                _ => match container_status(cri, &listed.id).await? {
                    Some(status) => status,
                    // It went away in between.
                    None => continue,
                },
            };
            let name = status.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
            sandbox_of.insert(listed.id, listed.pod_sandbox_id);
            containers.entry(name).or_default().push(status);
        }
        for list in containers.values_mut() {
            let attempt = |c: &proto::ContainerStatus| c.metadata.as_ref().map_or(0, |m| m.attempt);
            list.sort_by_key(|c| std::cmp::Reverse((attempt(c), c.created_at)));
        }
        self.runtime = cri.runtime_name().await?;
        self.messages.retain(|id, _| sandbox_of.contains_key(id));
        for c in containers.values().flatten().filter(|c| has_ended(c)) {
            self.messages.entry(c.id.clone()).or_insert_with(|| termination_message(c));
        }
        self.containers = containers;
        self.sandbox_of = sandbox_of;
        self.sandboxes = sandboxes
            .iter()
            .map(|s| Sandbox {
                id: s.id.clone(),
                attempt: attempt(s),
                ready: s.state == proto::PodSandboxState::SandboxReady as i32,
            })
            .collect();
        self.read_addresses(cri).await
    }

    async fn read_addresses(&mut self, cri: &Cri) -> Result<(), Status> {
        let ids: HashSet<&str> = self.sandboxes.iter().map(|s| s.id.as_str()).collect();
        self.addresses.retain(|id, _| ids.contains(id.as_str()));
        let Some(newest) = self.sandboxes.first().filter(|s| s.ready) else { return Ok(()) };
        if self.addresses.contains_key(&newest.id) {
            return Ok(());
        }
        let request = proto::PodSandboxStatusRequest { pod_sandbox_id: newest.id.clone(), verbose: false };
        let status = match cri.runtime().pod_sandbox_status(request).await {
            Ok(status) => status.into_inner().status,
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(()),
            Err(status) => return Err(status),
        };
        let network = status.and_then(|s| s.network).unwrap_or_default();
        let first = std::iter::once(network.ip);
        let more = network.additional_ips.into_iter().map(|ip| ip.ip);
        let addresses = first.chain(more).filter_map(|ip| ip.parse().ok()).collect();
        self.addresses.insert(newest.id.clone(), addresses);
        Ok(())
    }

    /// Addresses of the newest sandbox; none on the host's network.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        let newest = self.sandboxes.first().and_then(|s| self.addresses.get(&s.id));
        newest.map_or(&[], Vec::as_slice)
    }

    /// The message of a container that has ended.
    pub(crate) fn message(&self, id: &str) -> Option<&str> {
        self.messages.get(id)?.as_deref()
    }

    /// A container's id as statuses show it: `<runtime>://<id>`.
    pub(crate) fn container_id(&self, id: &str) -> String {
        format!("{}://{id}", self.runtime)
    }

    /// The newest container of a name.
    pub(crate) fn newest(&self, container: &str) -> Option<&proto::ContainerStatus> {
        self.containers.get(container).and_then(|list| list.first())
    }

    /// Containers as planning sees them.
    pub(crate) fn instances(&self, verdicts: &Verdicts) -> BTreeMap<String, Vec<Instance>> {
        let instance = |c: &proto::ContainerStatus| Instance {
            id: c.id.clone(),
            sandbox: self.sandbox_of.get(&c.id).cloned().unwrap_or_default(),
            hash: c.annotations.get(labels::CONTAINER_HASH).cloned().unwrap_or_default(),
            restarts: restarts(c),
            level: number(c, labels::CRASH_LEVEL),
            state: state(c),
            started: verdicts.started.contains(&c.id),
            unhealthy: verdicts.unhealthy.get(&c.id).map(|probe| Unhealthy { probe: *probe }),
        };
        self.containers
            .iter()
            .map(|(name, list)| (name.clone(), list.iter().map(instance).collect()))
            .collect()
    }
}

async fn container_status(cri: &Cri, id: &str) -> Result<Option<proto::ContainerStatus>, Status> {
    let request = proto::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    match cri.runtime().container_status(request).await {
        Ok(response) => Ok(response.into_inner().status),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

/// Whether a container's processes have ended.
pub(crate) fn has_ended(c: &proto::ContainerStatus) -> bool {
    c.state == proto::ContainerState::ContainerExited as i32
}

fn number(c: &proto::ContainerStatus, annotation: &str) -> u32 {
    c.annotations.get(annotation).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// How often the container was restarted before this one.
pub(crate) fn restarts(c: &proto::ContainerStatus) -> u32 {
    let attempt = c.metadata.as_ref().map_or(0, |m| m.attempt);
    number(c, labels::RESTART_COUNT).max(attempt)
}

/// A time of the runtime, which counts nanoseconds and says 0 for never.
pub(crate) fn time(nanos: i64) -> Option<Timestamp> {
    if nanos <= 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(nanos)).ok()
}

fn state(c: &proto::ContainerStatus) -> State {
    match proto::ContainerState::try_from(c.state) {
        Ok(proto::ContainerState::ContainerCreated) => State::Created,
        Ok(proto::ContainerState::ContainerRunning) => {
            State::Running { since: time(c.started_at).unwrap_or(Timestamp::UNIX_EPOCH) }
        }
        Ok(proto::ContainerState::ContainerExited) => {
            let at = time(c.finished_at).or(time(c.created_at)).unwrap_or(Timestamp::UNIX_EPOCH);
            let ran = time(c.started_at).and_then(|start| at.duration_since(start).try_into().ok());
            State::Exited { ran: ran.unwrap_or_default(), at, code: c.exit_code }
        }
        Ok(proto::ContainerState::ContainerUnknown) | Err(_) => State::Unknown,
    }
}
