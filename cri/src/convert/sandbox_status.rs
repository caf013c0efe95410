//! What a client gets to see of a sandbox.

use reeve_engine::{Sandbox, SandboxMetadata, SandboxState};
use reeve_proto::cri::{self, PodSandboxState};

use super::namespace;

/// The names of the only runtime handler: the default, and by its name.
pub(crate) const HANDLERS: [&str; 2] = ["", "reeve"];

pub(crate) fn state(state: SandboxState) -> PodSandboxState {
    match state {
        SandboxState::Ready => PodSandboxState::SandboxReady,
        SandboxState::NotReady => PodSandboxState::SandboxNotready,
    }
}

pub(crate) fn metadata(metadata: &SandboxMetadata) -> cri::PodSandboxMetadata {
    cri::PodSandboxMetadata {
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        namespace: metadata.namespace.clone(),
        attempt: metadata.attempt,
    }
}

/// One line of a list.
pub(crate) fn to_cri(sandbox: &Sandbox) -> cri::PodSandbox {
    cri::PodSandbox {
        id: sandbox.id.clone(),
        metadata: Some(metadata(&sandbox.spec.metadata)),
        state: state(sandbox.state) as i32,
        created_at: sandbox.created_at,
        labels: sandbox.spec.labels.clone().into_iter().collect(),
        annotations: sandbox.spec.annotations.clone().into_iter().collect(),
        runtime_handler: sandbox.spec.runtime_handler.clone(),
    }
}

/// Everything about a sandbox.
pub(crate) fn status(sandbox: &Sandbox) -> cri::PodSandboxStatus {
    cri::PodSandboxStatus {
        id: sandbox.id.clone(),
        metadata: Some(metadata(&sandbox.spec.metadata)),
        state: state(sandbox.state) as i32,
        created_at: sandbox.created_at,
        network: Some(network(sandbox)),
        linux: Some(cri::LinuxPodSandboxStatus {
            namespaces: Some(cri::Namespace { options: Some(namespace::of_sandbox(&sandbox.spec)) }),
        }),
        labels: sandbox.spec.labels.clone().into_iter().collect(),
        annotations: sandbox.spec.annotations.clone().into_iter().collect(),
        runtime_handler: sandbox.spec.runtime_handler.clone(),
    }
}

fn network(sandbox: &Sandbox) -> cri::PodSandboxNetworkStatus {
    let mut ips = sandbox.ips.iter().map(ToString::to_string);
    cri::PodSandboxNetworkStatus {
        ip: ips.next().unwrap_or_default(),
        additional_ips: ips.map(|ip| cri::PodIp { ip }).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::sync::Arc;

    use reeve_engine::SandboxSpec;

    use super::*;

    /// A sandbox for tests.
    pub(crate) fn sandbox(id: &str, state: SandboxState, labels: &[(&str, &str)]) -> Sandbox {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Sandbox {
            id: id.to_owned(),
            spec: Arc::new(SandboxSpec { labels, ..SandboxSpec::default() }),
            state,
            created_at: 7,
            ips: vec!["10.88.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
            shim_pid: 42,
        }
    }

    #[test]
    fn the_first_address_is_the_pods() {
        let status = status(&sandbox("a", SandboxState::Ready, &[]));
        let network = status.network.unwrap();
        assert_eq!(network.ip, "10.88.0.2");
        assert_eq!(network.additional_ips, vec![cri::PodIp { ip: "fd00::2".to_owned() }]);
    }

    #[test]
    fn a_sandbox_on_the_host_network_has_no_address() {
        let mut sandbox = sandbox("a", SandboxState::NotReady, &[]);
        sandbox.ips.clear();
        let status = status(&sandbox);
        assert_eq!(status.network.unwrap().ip, "");
        assert_eq!(status.state, PodSandboxState::SandboxNotready as i32);
    }
}
