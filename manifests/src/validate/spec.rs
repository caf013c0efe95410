//! The pod as a whole: volumes, host settings, and its containers together.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, PodSpec, SeccompProfile, Volume};

use super::{Check, container, names};
use crate::quantity::Amount;

pub(super) fn pod_spec(check: &mut Check<'_>, spec: &PodSpec) {
    let policy = spec.restart_policy.as_deref().unwrap_or_default();
    check.at("restartPolicy").one_of(policy, &["Always", "OnFailure", "Never"]);
    check.at("terminationGracePeriodSeconds").at_least(spec.termination_grace_period_seconds.unwrap_or(0), 0);
    if let Some(seconds) = spec.active_deadline_seconds {
        check.at("activeDeadlineSeconds").at_least(seconds, 1);
    }
    if let Some(name) = &spec.hostname {
        names::label_name(&mut check.at("hostname"), name);
    }
    if spec.host_users == Some(false) {
        check.at("hostUsers").fail("user namespaces are not supported");
    }
    if spec.os.as_ref().is_some_and(|os| os.name != "linux") {
        check.at("os").fail("this is a Linux node");
    }
    if spec.host_pid == Some(true) && spec.share_process_namespace == Some(true) {
        check.at("shareProcessNamespace").fail("it cannot be set beside hostPID");
    }
    dns(check, spec);
    aliases(check, spec);
    security(&mut check.at("securityContext"), spec);
    let volumes = volumes(check, spec.volumes.as_deref().unwrap_or_default());
    containers(check, spec, &volumes);
}

fn dns(check: &mut Check<'_>, spec: &PodSpec) {
    let policy = spec.dns_policy.as_deref().unwrap_or_default();
    check.at("dnsPolicy").one_of(policy, &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]);
    let servers = spec.dns_config.as_ref().and_then(|c| c.nameservers.as_deref()).unwrap_or_default();
    if policy == "None" && servers.is_empty() {
        check.at("dnsConfig").fail("dnsPolicy None needs at least one of dnsConfig.nameservers");
    }
    if servers.len() > 3 {
        check.at("dnsConfig").at("nameservers").fail("a resolver asks at most 3 servers");
    }
    for (i, server) in servers.iter().enumerate() {
        if server.parse::<IpAddr>().is_err() {
            check.at("dnsConfig").item("nameservers", i).fail(format!("{server:?} is not an IP address"));
        }
    }
}

fn aliases(check: &mut Check<'_>, spec: &PodSpec) {
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        if alias.ip.parse::<IpAddr>().is_err() {
            check.item("hostAliases", i).at("ip").fail(format!("{:?} is not an IP address", alias.ip));
        }
    }
}

fn security(check: &mut Check<'_>, spec: &PodSpec) {
    let Some(context) = &spec.security_context else {
        return;
    };
    if let Some(user) = context.run_as_user {
        check.at("runAsUser").at_least(user, 0);
    }
    if let Some(group) = context.run_as_group {
        check.at("runAsGroup").at_least(group, 0);
    }
    if let Some(group) = context.fs_group {
        check.at("fsGroup").at_least(group, 0);
    }
    seccomp(&mut check.at("seccompProfile"), context.seccomp_profile.as_ref());
}

pub(super) fn seccomp(check: &mut Check<'_>, profile: Option<&SeccompProfile>) {
    let Some(profile) = profile else { return };
    check.at("type").one_of(&profile.type_, &["RuntimeDefault", "Unconfined", "Localhost"]);
    if (profile.type_ == "Localhost") != profile.localhost_profile.is_some() {
        check.at("localhostProfile").fail("it is set exactly when type is Localhost");
    }
}

/// Checks the volumes, and returns their names.
fn volumes<'a>(check: &mut Check<'_>, volumes: &'a [Volume]) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    for (i, volume) in volumes.iter().enumerate() {
        let mut at = check.item("volumes", i);
        names::label_name(&mut at.at("name"), &volume.name);
        if !known.insert(volume.name.as_str()) {
            at.at("name").fail(format!("there are two volumes {:?}", volume.name));
        }
        match (&volume.empty_dir, &volume.host_path) {
            (Some(empty), None) => {
                let medium = empty.medium.as_deref().unwrap_or_default();
                at.at("emptyDir").at("medium").one_of(medium, &["", "Memory"]);
                if let Some(limit) = &empty.size_limit {
                    match Amount::of(limit) {
                        Some(amount) if !amount.is_negative() => {}
                        _ => at.at("emptyDir").at("sizeLimit").fail(format!("{:?} is not a size", limit.0)),
                    }
                }
            }
            (None, Some(host)) => {
                if !host.path.starts_with('/') || host.path.split('/').any(|part| part == "..") {
                    at.at("hostPath").at("path").fail("it must be absolute and without \"..\"");
                }
                let types = [
                    "",
                    "DirectoryOrCreate",
                    "Directory",
                    "FileOrCreate",
                    "File",
                    "Socket",
                    "CharDevice",
                    "BlockDevice",
                ];
                at.at("hostPath").at("type").one_of(host.type_.as_deref().unwrap_or_default(), &types);
            }
            (None, None) => at.fail_with(
                format!("volume {:?} has no kind", volume.name),
                Some("write emptyDir: {} or hostPath: {path: /some/where}".into()),
            ),
            (Some(_), Some(_)) => at.fail(format!("volume {:?} has two kinds", volume.name)),
        }
    }
    known
}

fn containers(check: &mut Check<'_>, spec: &PodSpec, volumes: &BTreeSet<&str>) {
    if spec.containers.is_empty() {
        check.at("containers").fail("the pod has no containers");
    }
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut known = BTreeSet::new();
    let all = [("initContainers", init), ("containers", spec.containers.as_slice())];
    for (list, items) in all {
        for (i, c) in items.iter().enumerate() {
            let mut at = check.item(list, i);
            if !known.insert(c.name.as_str()) {
                at.at("name").fail(format!("there are two containers {:?}", c.name));
            }
            container::container(&mut at, c, volumes, list == "initContainers");
        }
    }
    host_ports(check, spec, all);
}

fn host_ports(check: &mut Check<'_>, spec: &PodSpec, all: [(&str, &[Container]); 2]) {
    let mut taken = BTreeSet::new();
    for (list, items) in all {
        for (i, c) in items.iter().enumerate() {
            for (j, port) in c.ports.iter().flatten().enumerate() {
                let Some(host) = port.host_port else { continue };
                let mut at = check.item(list, i);
                let mut at = at.item("ports", j);
                if spec.host_network == Some(true) && host != port.container_port {
                    at.at("hostPort").fail("with hostNetwork it must equal containerPort");
                }
                let ip = port.host_ip.as_deref().unwrap_or_default();
                if host != 0 && !taken.insert((host, port.protocol.as_deref(), ip)) {
                    at.at("hostPort").fail(format!("host port {host} is declared twice"));
                }
            }
        }
    }
}
