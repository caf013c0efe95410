//! What a client asks a sandbox to be.

use std::net::IpAddr;
use std::path::PathBuf;

use reeve_engine::{Dns, PortMapping, Protocol, SandboxMetadata, SandboxSpec, Seccomp};
use reeve_proto::cri;

use super::fault::Fault;
use super::{namespace, resources, security};

/// The engine's sandbox for `config`.
pub(crate) fn to_engine(config: &cri::PodSandboxConfig, runtime_handler: &str) -> Result<SandboxSpec, Fault> {
    if config.windows.is_some() {
        return Err(Fault::unsupported("config.windows", "this runtime runs Linux containers"));
    }
    let mut spec = SandboxSpec {
        metadata: metadata(config.metadata.as_ref())?,
        hostname: config.hostname.clone(),
        labels: config.labels.clone().into_iter().collect(),
        annotations: config.annotations.clone().into_iter().collect(),
        log_directory: log_directory(&config.log_directory)?,
        dns: config.dns_config.as_ref().map(dns).unwrap_or_default(),
        ports: ports(&config.port_mappings)?,
        runtime_handler: handler(runtime_handler)?,
        ..SandboxSpec::default()
    };
    let linux = config.linux.clone().unwrap_or_default();
    let context = linux.security_context.clone().unwrap_or_default();
    namespace::apply_to_sandbox(context.namespace_options.as_ref(), &mut spec)?;
    apply_security(&context, &mut spec)?;
    check_resources(&linux)?;
    spec.cgroup_parent = linux.cgroup_parent;
    spec.sysctls = linux.sysctls.into_iter().collect();
    Ok(spec)
}

/// The only handler, under both of its names.
pub(crate) fn handler(name: &str) -> Result<String, Fault> {
    if super::sandbox_status::HANDLERS.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(Fault::invalid("runtime_handler", format!("no runtime handler {name:?} is configured")))
    }
}

fn metadata(metadata: Option<&cri::PodSandboxMetadata>) -> Result<SandboxMetadata, Fault> {
    let metadata = metadata.ok_or_else(|| Fault::missing("config.metadata"))?;
    if metadata.name.is_empty() {
        return Err(Fault::missing("config.metadata.name"));
    }
    Ok(SandboxMetadata {
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        namespace: metadata.namespace.clone(),
        attempt: metadata.attempt,
    })
}

fn log_directory(path: &str) -> Result<PathBuf, Fault> {
    if path.is_empty() || path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(Fault::invalid("config.log_directory", format!("{path:?} is not absolute")))
    }
}

fn dns(config: &cri::DnsConfig) -> Dns {
    Dns {
        servers: config.servers.clone(),
        searches: config.searches.clone(),
        options: config.options.clone(),
    }
}

/// Host port 0 means that the container port is not to be reached through the host.
fn ports(mappings: &[cri::PortMapping]) -> Result<Vec<PortMapping>, Fault> {
    mappings
        .iter()
        .enumerate()
        .filter(|(_, mapping)| mapping.host_port != 0)
        .map(|(index, mapping)| port(&format!("config.port_mappings[{index}]"), mapping))
        .collect()
}

fn port(field: &str, mapping: &cri::PortMapping) -> Result<PortMapping, Fault> {
    let number = |name: &str, value: i32| match u16::try_from(value) {
        Ok(value @ 1..) => Ok(value),
        _ => Err(Fault::invalid(format!("{field}.{name}"), format!("{value} is not a port"))),
    };
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => {
            let address: IpAddr = text.parse().map_err(|_| {
                Fault::invalid(format!("{field}.host_ip"), format!("{text:?} is not an address"))
            })?;
            // "Every address" is what an absent one says already.
            (!address.is_unspecified()).then_some(address)
        }
    };
    let protocol = match cri::Protocol::try_from(mapping.protocol) {
        Ok(cri::Protocol::Tcp) => Protocol::Tcp,
        Ok(cri::Protocol::Udp) => Protocol::Udp,
        Ok(cri::Protocol::Sctp) => Protocol::Sctp,
        Err(_) => {
            return Err(Fault::invalid(
                format!("{field}.protocol"),
                format!("{} is no protocol", mapping.protocol),
            ));
        }
    };
    Ok(PortMapping {
        host_ip,
        host_port: number("host_port", mapping.host_port)?,
        container_port: number("container_port", mapping.container_port)?,
        protocol,
    })
}

/// A sandbox here has no process and no root filesystem of its own: what CRI would apply to them (user, groups,
/// read-only root, AppArmor) is checked, and has nothing to act on.
fn apply_security(context: &cri::LinuxSandboxSecurityContext, spec: &mut SandboxSpec) -> Result<(), Fault> {
    let prefix = "config.linux.security_context";
    security::id(&format!("{prefix}.run_as_user"), context.run_as_user)?;
    let group = security::id(&format!("{prefix}.run_as_group"), context.run_as_group)?;
    if group.is_some() && context.run_as_user.is_none() {
        return Err(Fault::invalid(format!("{prefix}.run_as_group"), "needs run_as_user"));
    }
    security::is_strict(prefix, context.supplemental_groups_policy)?;
    security::check_selinux(prefix, context.selinux_options.as_ref())?;
    spec.privileged = context.privileged;
    spec.seccomp = sandbox_seccomp(prefix, context)?;
    Ok(())
}

fn sandbox_seccomp(prefix: &str, context: &cri::LinuxSandboxSecurityContext) -> Result<Seccomp, Fault> {
    match &context.seccomp {
        Some(profile) => security::seccomp_profile(&format!("{prefix}.seccomp"), profile),
        None => {
            #[allow(deprecated)]
            let path = &context.seccomp_profile_path;
            security::seccomp_path(&format!("{prefix}.seccomp_profile_path"), path)
        }
    }
}

/// The caller made the pod's cgroup and set its limits; these tell runtimes which run pods in machines how
/// large to make one.
fn check_resources(linux: &cri::LinuxPodSandboxConfig) -> Result<(), Fault> {
    for (name, asked) in [("overhead", &linux.overhead), ("resources", &linux.resources)] {
        if let Some(asked) = asked {
            resources::to_engine(&format!("config.linux.{name}"), asked)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> cri::PodSandboxConfig {
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: "web".to_owned(),
                uid: "u".to_owned(),
                namespace: "default".to_owned(),
                attempt: 2,
            }),
            ..Default::default()
        }
    }

    fn mapping(host_port: i32, host_ip: &str) -> cri::PortMapping {
        cri::PortMapping { host_port, container_port: 80, host_ip: host_ip.to_owned(), protocol: 1 }
    }

    #[test]
    fn a_container_port_without_host_port_is_not_mapped() {
        let config = cri::PodSandboxConfig {
            port_mappings: vec![mapping(0, ""), mapping(8080, "127.0.0.1"), mapping(8081, "0.0.0.0")],
            ..config()
        };
        let ports = to_engine(&config, "").unwrap().ports;
        assert_eq!(ports.len(), 2);
        assert_eq!(ports[0].host_ip, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(ports[0].protocol, Protocol::Udp);
        assert_eq!(ports[1].host_ip, None);
    }

    #[test]
    fn faults_name_the_field() {
        let faulty = [
            (cri::PodSandboxConfig { metadata: None, ..config() }, "config.metadata"),
            (
                cri::PodSandboxConfig { port_mappings: vec![mapping(70_000, "")], ..config() },
                "config.port_mappings[0].host_port",
            ),
            (
                cri::PodSandboxConfig { port_mappings: vec![mapping(80, "here")], ..config() },
                "config.port_mappings[0].host_ip",
            ),
            (cri::PodSandboxConfig { log_directory: "logs".to_owned(), ..config() }, "config.log_directory"),
            (cri::PodSandboxConfig { windows: Some(Default::default()), ..config() }, "config.windows"),
        ];
        for (config, field) in faulty {
            let fault = to_engine(&config, "").unwrap_err().to_string();
            assert!(fault.starts_with(field), "{fault}");
        }
    }

    #[test]
    fn an_unknown_handler_is_refused() {
        assert!(to_engine(&config(), "kata").is_err());
        assert!(to_engine(&config(), "reeve").is_ok());
    }
}
