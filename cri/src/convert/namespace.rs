//! Namespace modes of sandboxes and containers.

use reeve_engine::{PidNamespace, SandboxSpec};
use reeve_proto::cri::{self, NamespaceMode};

use super::fault::Fault;

/// Reads an enumeration's value; proto3 lets any number through.
fn mode(field: &str, value: i32) -> Result<NamespaceMode, Fault> {
    NamespaceMode::try_from(value).map_err(|_| Fault::invalid(field, format!("{value} is no namespace mode")))
}

/// Takes over the namespace modes of a sandbox. Absent options are CRI's defaults: all of the pod.
pub(crate) fn apply_to_sandbox(
    options: Option<&cri::NamespaceOption>,
    spec: &mut SandboxSpec,
) -> Result<(), Fault> {
    let default = cri::NamespaceOption::default();
    let options = options.unwrap_or(&default);
    let prefix = "config.linux.security_context.namespace_options";

    spec.host_network = of_pod_or_node(&format!("{prefix}.network"), options.network)?;
    spec.host_ipc = of_pod_or_node(&format!("{prefix}.ipc"), options.ipc)?;
    let pid = format!("{prefix}.pid");
    match mode(&pid, options.pid)? {
        NamespaceMode::Pod => spec.share_pid = true,
        NamespaceMode::Container => {}
        NamespaceMode::Node => spec.host_pid = true,
        NamespaceMode::Target => {
            return Err(Fault::invalid(pid, "TARGET names a container, and a sandbox has none yet"));
        }
    }
    refuse_user_namespace(prefix, options.userns_options.as_ref())
}

fn of_pod_or_node(field: &str, value: i32) -> Result<bool, Fault> {
    match mode(field, value)? {
        NamespaceMode::Pod => Ok(false),
        NamespaceMode::Node => Ok(true),
        other @ (NamespaceMode::Container | NamespaceMode::Target) => {
            Err(Fault::unsupported(field, format!("{} exists for PID namespaces only", other.as_str_name())))
        }
    }
}

/// `POD` without mappings is what a client means that knows nothing of user namespaces.
fn refuse_user_namespace(prefix: &str, options: Option<&cri::UserNamespace>) -> Result<(), Fault> {
    let Some(options) = options else { return Ok(()) };
    let field = format!("{prefix}.userns_options");
    match mode(&field, options.mode)? {
        NamespaceMode::Node => Ok(()),
        NamespaceMode::Pod if options.uids.is_empty() && options.gids.is_empty() => Ok(()),
        _ => Err(Fault::unsupported(field, "pods run in the host's user namespace")),
    }
}

/// The PID namespace of a container in the sandbox of `sandbox`.
///
/// Network and IPC are the sandbox's in any case, as in other runtimes; only a contradiction is refused.
pub(crate) fn of_container(
    options: Option<&cri::NamespaceOption>,
    sandbox: &SandboxSpec,
) -> Result<PidNamespace, Fault> {
    let prefix = "config.linux.security_context.namespace_options";
    let Some(options) = options else {
        return Ok(shared(sandbox));
    };

    follows_sandbox(&format!("{prefix}.network"), options.network, sandbox.host_network)?;
    follows_sandbox(&format!("{prefix}.ipc"), options.ipc, sandbox.host_ipc)?;
    refuse_user_namespace(prefix, options.userns_options.as_ref())?;
    Ok(match mode(&format!("{prefix}.pid"), options.pid)? {
        NamespaceMode::Pod => shared(sandbox),
        NamespaceMode::Container => PidNamespace::Container,
        NamespaceMode::Node => PidNamespace::Host,
        NamespaceMode::Target if options.target_id.is_empty() => {
            return Err(Fault::missing(format!("{prefix}.target_id")));
        }
        NamespaceMode::Target => PidNamespace::Target(options.target_id.clone()),
    })
}

fn shared(sandbox: &SandboxSpec) -> PidNamespace {
    if sandbox.host_pid { PidNamespace::Host } else { PidNamespace::Sandbox }
}

fn follows_sandbox(field: &str, value: i32, sandbox_is_on_host: bool) -> Result<(), Fault> {
    let on_host = of_pod_or_node(field, value)?;
    if on_host && !sandbox_is_on_host {
        return Err(Fault::invalid(field, "is NODE, but the sandbox has a namespace of its own"));
    }
    Ok(())
}

/// The modes that a sandbox was made with.
pub(crate) fn of_sandbox(spec: &SandboxSpec) -> cri::NamespaceOption {
    let node_or = |host: bool, otherwise: NamespaceMode| if host { NamespaceMode::Node } else { otherwise };
    let pid = if spec.share_pid { NamespaceMode::Pod } else { NamespaceMode::Container };
    cri::NamespaceOption {
        network: node_or(spec.host_network, NamespaceMode::Pod) as i32,
        ipc: node_or(spec.host_ipc, NamespaceMode::Pod) as i32,
        pid: node_or(spec.host_pid, pid) as i32,
        target_id: String::new(),
        userns_options: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(network: NamespaceMode, pid: NamespaceMode, ipc: NamespaceMode) -> cri::NamespaceOption {
        cri::NamespaceOption {
            network: network as i32,
            pid: pid as i32,
            ipc: ipc as i32,
            ..cri::NamespaceOption::default()
        }
    }

    #[test]
    fn sandbox_modes_come_back_as_they_went_in() {
        use NamespaceMode::{Container, Node, Pod};
        for asked in [options(Pod, Container, Pod), options(Node, Node, Node), options(Node, Pod, Pod)] {
            let mut spec = SandboxSpec::default();
            apply_to_sandbox(Some(&asked), &mut spec).unwrap();
            assert_eq!(of_sandbox(&spec), asked);
        }
    }

    #[test]
    fn a_sandbox_without_options_shares_its_pids() {
        let mut spec = SandboxSpec::default();
        apply_to_sandbox(None, &mut spec).unwrap();
        assert!(spec.share_pid && !spec.host_pid && !spec.host_network && !spec.host_ipc);
    }

    #[test]
    fn unsupported_modes_are_refused_by_name() {
        let mut asked = options(NamespaceMode::Pod, NamespaceMode::Pod, NamespaceMode::Pod);
        asked.userns_options = Some(cri::UserNamespace {
            mode: NamespaceMode::Pod as i32,
            uids: vec![cri::IdMapping { host_id: 100_000, container_id: 0, length: 65_536 }],
            gids: Vec::new(),
        });
        let fault = apply_to_sandbox(Some(&asked), &mut SandboxSpec::default()).unwrap_err();
        assert!(fault.to_string().contains("userns_options"), "{fault}");

        let asked = options(NamespaceMode::Container, NamespaceMode::Pod, NamespaceMode::Pod);
        let fault = apply_to_sandbox(Some(&asked), &mut SandboxSpec::default()).unwrap_err();
        assert!(fault.to_string().contains("namespace_options.network"), "{fault}");
    }

    #[test]
    fn a_container_follows_its_sandbox() {
        let on_host = SandboxSpec { host_pid: true, ..SandboxSpec::default() };
        assert_eq!(of_container(None, &on_host).unwrap(), PidNamespace::Host);
        assert_eq!(of_container(None, &SandboxSpec::default()).unwrap(), PidNamespace::Sandbox);

        let node = options(NamespaceMode::Node, NamespaceMode::Pod, NamespaceMode::Pod);
        assert!(of_container(Some(&node), &SandboxSpec::default()).is_err());
    }

    #[test]
    fn a_target_needs_its_id() {
        let mut target = options(NamespaceMode::Pod, NamespaceMode::Target, NamespaceMode::Pod);
        assert!(of_container(Some(&target), &SandboxSpec::default()).is_err());
        target.target_id = "abc".to_owned();
        let pid = of_container(Some(&target), &SandboxSpec::default()).unwrap();
        assert_eq!(pid, PidNamespace::Target("abc".to_owned()));
    }
}
