//! One container.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, EnvVar, Probe, ResourceRequirements, SecurityContext, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Check, names, spec};
use crate::quantity::Amount;

/// Fields of the pod that an environment variable can show.
const FIELD_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Resources of a container that an environment variable can show.
const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];

pub(super) fn container(check: &mut Check<'_>, c: &Container, volumes: &BTreeSet<&str>, init: bool) {
    names::label_name(&mut check.at("name"), &c.name);
    let image = c.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        check.fail_with(format!("container {:?} has no image", c.name), Some("add image: NAME:TAG".into()));
    } else if image.trim() != image || image.contains(char::is_whitespace) {
        check.at("image").fail(format!("{image:?} has blanks in it"));
    }
    let policy = c.image_pull_policy.as_deref().unwrap_or_default();
    check.at("imagePullPolicy").one_of(policy, &["Always", "IfNotPresent", "Never"]);
    let message = c.termination_message_policy.as_deref().unwrap_or_default();
    check.at("terminationMessagePolicy").one_of(message, &["File", "FallbackToLogsOnError"]);
    if let Some(policy) = &c.restart_policy {
        match (init, policy.as_str()) {
            (true, "Always") => {}
            (true, _) => {
                check.at("restartPolicy").fail("an init container's restartPolicy can only be Always")
            }
            (false, _) => {
                check.at("restartPolicy").fail("only init containers have a restartPolicy of their own")
            }
        }
    }
    ports(check, c);
    env(check, c.env.as_deref().unwrap_or_default());
    resources(&mut check.at("resources"), c.resources.as_ref());
    mounts(check, c.volume_mounts.as_deref().unwrap_or_default(), volumes);
    probes(check, c, init);
    if let Some(context) = &c.security_context {
        security(&mut check.at("securityContext"), context);
    }
}

fn ports(check: &mut Check<'_>, c: &Container) {
    let mut known = BTreeSet::new();
    for (i, port) in c.ports.iter().flatten().enumerate() {
        let mut at = check.item("ports", i);
        port_number(&mut at.at("containerPort"), i64::from(port.container_port));
        if let Some(host) = port.host_port
            && host != 0
        {
            port_number(&mut at.at("hostPort"), i64::from(host));
        }
        at.at("protocol").one_of(port.protocol.as_deref().unwrap_or_default(), &["TCP", "UDP", "SCTP"]);
        if let Some(name) = &port.name {
            names::port_name(&mut at.at("name"), name);
            if !known.insert(name) {
                at.at("name").fail(format!("there are two ports {name:?}"));
            }
        }
        if let Some(ip) = port.host_ip.as_deref()
            && !ip.is_empty()
            && ip.parse::<IpAddr>().is_err()
        {
            at.at("hostIP").fail(format!("{ip:?} is not an IP address"));
        }
    }
}

fn port_number(check: &mut Check<'_>, port: i64) {
    if !(1..=65535).contains(&port) {
        check.fail(format!("{port} is not a port: 1 to 65535"));
    }
}

fn env(check: &mut Check<'_>, env: &[EnvVar]) {
    for (i, var) in env.iter().enumerate() {
        let mut at = check.item("env", i);
        if var.name.is_empty()
            || var.name.contains('=')
            || !var.name.chars().all(|c| (' '..='~').contains(&c))
        {
            at.at("name").fail(format!("{:?} cannot be the name of a variable", var.name));
        }
        let Some(from) = &var.value_from else { continue };
        if var.value.as_deref().is_some_and(|v| !v.is_empty()) {
            at.at("valueFrom").fail("a variable has either value or valueFrom");
        }
        if let Some(field) = &from.field_ref {
            let subscript = ["metadata.labels['", "metadata.annotations['"]
                .iter()
                .any(|p| field.field_path.starts_with(p) && field.field_path.ends_with("']"));
            if !subscript {
                at.at("valueFrom").at("fieldRef").at("fieldPath").one_of(&field.field_path, FIELD_PATHS);
            }
        }
        if let Some(resource) = &from.resource_field_ref {
            let mut at = at.at("valueFrom");
            let mut at = at.at("resourceFieldRef");
            at.at("resource").one_of(&resource.resource, RESOURCE_FIELDS);
            if resource.divisor.as_ref().is_some_and(|d| Amount::of(d).is_none()) {
                at.at("divisor").fail("it is not a quantity");
            }
        }
    }
}

fn resources(check: &mut Check<'_>, resources: Option<&ResourceRequirements>) {
    let Some(resources) = resources else { return };
    for (field, list) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, quantity) in list.iter().flatten() {
            let mut at = check.at(field);
            let mut at = at.at(name);
            match Amount::of(quantity) {
                None => at.fail_with(
                    format!("{:?} is not a quantity", quantity.0),
                    Some("for instance 500m, 1.5, 128Mi, 2Gi".into()),
                ),
                Some(amount) if amount.is_negative() => at.fail("it is less than 0"),
                Some(_) => {}
            }
            if !["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) {
                at.fail_with(format!("{name} is not a resource of this node"), Some("cpu or memory".into()));
            }
        }
    }
    for (name, limit) in resources.limits.iter().flatten() {
        let request = resources.requests.as_ref().and_then(|r| r.get(name));
        if let (Some(limit), Some(request)) = (Amount::of(limit), request.and_then(Amount::of))
            && request > limit
        {
            check.at("requests").at(name).fail("it is more than the limit");
        }
    }
}

fn mounts(check: &mut Check<'_>, mounts: &[VolumeMount], volumes: &BTreeSet<&str>) {
    let mut paths = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
        let mut at = check.item("volumeMounts", i);
        if !volumes.contains(mount.name.as_str()) {
            let known: Vec<&str> = volumes.iter().copied().collect();
            let hint = crate::suggest::nearest(&mount.name, &known)
                .map(|near| format!("did you mean {near:?}?"))
                .unwrap_or_else(|| format!("volumes of this pod: {}", known.join(", ")));
            at.at("name").fail_with(format!("the pod has no volume {:?}", mount.name), Some(hint));
        }
        if !mount.mount_path.starts_with('/') || mount.mount_path.contains(':') {
            at.at("mountPath").fail(format!("{:?} is not an absolute path without ':'", mount.mount_path));
        }
        if !paths.insert(mount.mount_path.as_str()) {
            at.at("mountPath").fail(format!("{:?} is mounted twice", mount.mount_path));
        }
        for (field, path) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            let Some(path) = path else { continue };
            if path.starts_with('/') || path.split('/').any(|part| part == "..") {
                at.at(field).fail("it must be relative and without \"..\"");
            }
        }
        if mount.sub_path.as_deref().is_some_and(|p| !p.is_empty()) && mount.sub_path_expr.is_some() {
            at.at("subPathExpr").fail("a mount has either subPath or subPathExpr");
        }
        let propagation = mount.mount_propagation.as_deref().unwrap_or("None");
        at.at("mountPropagation").one_of(propagation, &["None", "HostToContainer", "Bidirectional"]);
        let recursive = mount.recursive_read_only.as_deref().unwrap_or("Disabled");
        at.at("recursiveReadOnly").one_of(recursive, &["Disabled", "IfPossible", "Enabled"]);
        if recursive == "Enabled" && mount.read_only != Some(true) {
            at.at("recursiveReadOnly").fail("it needs readOnly: true");
        }
    }
}

fn probes(check: &mut Check<'_>, c: &Container, init: bool) {
    let sidecar = c.restart_policy.as_deref() == Some("Always");
    let all = [
        ("livenessProbe", &c.liveness_probe),
        ("readinessProbe", &c.readiness_probe),
        ("startupProbe", &c.startup_probe),
    ];
    for (field, probe) in all {
        let Some(probe) = probe else { continue };
        let mut at = check.at(field);
        if init && !sidecar {
            at.fail("an init container runs to its end, so it has no probes");
        }
        one_probe(&mut at, probe, c, field);
    }
}

fn one_probe(check: &mut Check<'_>, probe: &Probe, c: &Container, field: &str) {
    let handlers =
        [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    if handlers.iter().filter(|set| **set).count() != 1 {
        check.fail_with("a probe does exactly one thing", Some("one of exec, httpGet, tcpSocket".into()));
    }
    if probe.exec.as_ref().is_some_and(|e| e.command.as_deref().unwrap_or_default().is_empty()) {
        check.at("exec").fail("there is no command");
    }
    if let Some(http) = &probe.http_get {
        named_port(&mut check.at("httpGet").at("port"), &http.port, c);
        check
            .at("httpGet")
            .at("scheme")
            .one_of(http.scheme.as_deref().unwrap_or_default(), &["HTTP", "HTTPS"]);
    }
    if let Some(tcp) = &probe.tcp_socket {
        named_port(&mut check.at("tcpSocket").at("port"), &tcp.port, c);
    }
    check.at("initialDelaySeconds").at_least(probe.initial_delay_seconds.unwrap_or(0), 0);
    check.at("timeoutSeconds").at_least(probe.timeout_seconds.unwrap_or(1), 1);
    check.at("periodSeconds").at_least(probe.period_seconds.unwrap_or(1), 1);
    check.at("failureThreshold").at_least(probe.failure_threshold.unwrap_or(1), 1);
    check.at("successThreshold").at_least(probe.success_threshold.unwrap_or(1), 1);
    if field != "readinessProbe" && probe.success_threshold.unwrap_or(1) != 1 {
        check.at("successThreshold").fail("it can only be 1 here");
    }
    match probe.termination_grace_period_seconds {
        Some(_) if field == "readinessProbe" => {
            check.at("terminationGracePeriodSeconds").fail("a readiness probe ends nothing");
        }
        Some(seconds) => check.at("terminationGracePeriodSeconds").at_least(seconds, 1),
        None => {}
    }
}

fn named_port(check: &mut Check<'_>, port: &IntOrString, c: &Container) {
    match port {
        IntOrString::Int(number) => port_number(check, i64::from(*number)),
        IntOrString::String(name) => {
            let names: Vec<&str> = c.ports.iter().flatten().filter_map(|p| p.name.as_deref()).collect();
            if !names.contains(&name.as_str()) {
                let hint =
                    crate::suggest::nearest(name, &names).map(|near| format!("did you mean {near:?}?"));
                check.fail_with(format!("the container has no port {name:?}"), hint);
            }
        }
    }
}

fn security(check: &mut Check<'_>, context: &SecurityContext) {
    if let Some(user) = context.run_as_user {
        check.at("runAsUser").at_least(user, 0);
    }
    if let Some(group) = context.run_as_group {
        check.at("runAsGroup").at_least(group, 0);
    }
    let privileged = context.privileged == Some(true);
    let admin = context
        .capabilities
        .iter()
        .flat_map(|c| c.add.iter().flatten())
        .any(|c| c.trim_start_matches("CAP_") == "SYS_ADMIN");
    if context.allow_privilege_escalation == Some(false) && (privileged || admin) {
        check.at("allowPrivilegeEscalation").fail("it cannot be false beside privileged or CAP_SYS_ADMIN");
    }
    check
        .at("procMount")
        .one_of(context.proc_mount.as_deref().unwrap_or("Default"), &["Default", "Unmasked"]);
    spec::seccomp(&mut check.at("seccompProfile"), context.seccomp_profile.as_ref());
}
