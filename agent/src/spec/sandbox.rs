//! The configuration of a pod's sandbox.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodSpec};
pub(super) use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use reeve_proto::cri as proto;

use super::{resources, security};
use crate::config::Config;
use crate::pod::PodKey;
use crate::workers::labels;

/// What a sandbox is made from.
pub(crate) struct SandboxInput<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) config: &'a Config,
    pub(crate) agent: &'a str,
    pub(crate) attempt: u32,
}

/// Makes the configuration of a sandbox.
pub(crate) fn sandbox_config(input: &SandboxInput<'_>) -> proto::PodSandboxConfig {
    let key = PodKey::of(input.pod);
    let spec = input.pod.spec.clone().unwrap_or_default();
    let mut labels = labels::sandbox_labels(&key, input.agent);
    for (name, value) in input.pod.metadata.labels.iter().flatten() {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let sysctls = spec.security_context.as_ref().and_then(|s| s.sysctls.clone()).unwrap_or_default();
    proto::PodSandboxConfig {
        metadata: Some(proto::PodSandboxMetadata {
            name: key.name.clone(),
            uid: key.uid.clone(),
            namespace: key.namespace.clone(),
            attempt: input.attempt,
        }),
        hostname: if spec.host_network == Some(true) { String::new() } else { hostname(input.pod) },
        log_directory: log_directory(input.config, &key),
        dns_config: dns(&spec),
        port_mappings: ports(&spec),
        labels,
        annotations: input.pod.metadata.annotations.clone().unwrap_or_default().into_iter().collect(),
        linux: Some(proto::LinuxPodSandboxConfig {
            cgroup_parent: resources::cgroup_parent(&input.config.cgroup_parent, input.pod),
            security_context: Some(security::sandbox_context(input.pod)),
            sysctls: sysctls.into_iter().map(|s| (s.name, s.value)).collect::<HashMap<_, _>>(),
            resources: Some(resources::pod_resources(input.pod)),
            overhead: None,
        }),
        windows: None,
    }
}

fn log_directory(config: &Config, key: &PodKey) -> String {
    config.pod_log_dir(&key.namespace, &key.name, &key.uid).to_string_lossy().into_owned()
}

/// A pod's host name: its own setting or its name, cut to what Linux allows.
pub(crate) fn hostname(pod: &Pod) -> String {
    let set = pod.spec.as_ref().and_then(|s| s.hostname.clone()).filter(|h| !h.is_empty());
    let name = set.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Name service of a pod. There is no cluster's, so ClusterFirst means the host's, as with a kubelet that has
/// none; without a configuration the runtime uses the host's.
fn dns(spec: &PodSpec) -> Option<proto::DnsConfig> {
    let own = spec.dns_config.clone().unwrap_or_default();
    let PodDNSConfig { nameservers, searches, options } = own;
    let written = |option: k8s_openapi::api::core::v1::PodDNSConfigOption| {
        let name = option.name.unwrap_or_default();
        match option.value {
            Some(value) => format!("{name}:{value}"),
            None => name,
        }
    };
    let more = proto::DnsConfig {
        servers: nameservers.unwrap_or_default(),
        searches: searches.unwrap_or_default(),
        options: options.unwrap_or_default().into_iter().map(written).collect(),
    };
    if spec.dns_policy.as_deref() == Some("None") {
        return Some(more);
    }
    if more == proto::DnsConfig::default() {
        return None;
    }
    let mut base = host_dns();
    base.servers.extend(more.servers);
    base.servers.truncate(3);
    base.searches.extend(more.searches);
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    base.options.retain(|option| !more.options.iter().any(|own| name(own) == name(option)));
    base.options.extend(more.options);
    Some(base)
}

/// What the host's resolv.conf says (man 5 resolv.conf).
fn host_dns() -> proto::DnsConfig {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut dns = proto::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.servers.extend(words.next()),
            Some("search") => dns.searches = words.collect(),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

fn ports(spec: &PodSpec) -> Vec<proto::PortMapping> {
    if spec.host_network == Some(true) {
        return Vec::new();
    }
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = containers.flat_map(|c| c.ports.iter().flatten());
    ports
        .filter(|p| p.host_port.unwrap_or(0) > 0)
        .map(|p| proto::PortMapping {
            protocol: match p.protocol.as_deref() {
                Some("UDP") => proto::Protocol::Udp,
                Some("SCTP") => proto::Protocol::Sctp,
                _ => proto::Protocol::Tcp,
            } as i32,
            container_port: p.container_port,
            host_port: p.host_port.unwrap_or(0),
            host_ip: p.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}
