//! Defaults, as the API server sets them (`pkg/apis/core/v1/defaults.go` in Kubernetes).

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, PodSpec, Probe, ResourceRequirements};

/// Fills in what a manifest may leave out.
pub fn apply_defaults(pod: &mut Pod) {
    let namespace = pod.metadata.namespace.get_or_insert_default();
    if namespace.is_empty() {
        "default".clone_into(namespace);
    }
    if let Some(spec) = &mut pod.spec {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut PodSpec) {
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.dns_policy, "ClusterFirst");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
    let host_network = spec.host_network == Some(true);
    for volume in spec.volumes.iter_mut().flatten() {
        if let Some(host_path) = &mut volume.host_path {
            host_path.type_.get_or_insert_default();
        }
    }
    let init = spec.init_containers.iter_mut().flatten();
    for c in init.chain(&mut spec.containers) {
        container(c, host_network);
    }
}

fn container(c: &mut Container, host_network: bool) {
    if c.image_pull_policy.as_deref().unwrap_or_default().is_empty() {
        let latest = c.image.as_deref().is_some_and(is_latest);
        c.image_pull_policy = Some(if latest { "Always" } else { "IfNotPresent" }.into());
    }
    text(&mut c.termination_message_path, "/dev/termination-log");
    text(&mut c.termination_message_policy, "File");
    for port in c.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
        if host_network {
            port.host_port.get_or_insert(port.container_port);
        }
    }
    for source in c.env.iter_mut().flatten().filter_map(|env| env.value_from.as_mut()) {
        if let Some(field) = &mut source.field_ref {
            text(&mut field.api_version, "v1");
        }
    }
    requests(c.resources.get_or_insert_default());
    for p in [&mut c.liveness_probe, &mut c.readiness_probe, &mut c.startup_probe].into_iter().flatten() {
        probe(p);
    }
}

/// A limit without a request is a request too.
fn requests(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

fn probe(probe: &mut Probe) {
    for (field, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or(0) == 0 {
            *field = Some(default);
        }
    }
    if let Some(HTTPGetAction { path, scheme, .. }) = &mut probe.http_get {
        text(path, "/");
        text(scheme, "HTTP");
    }
}

fn text(field: &mut Option<String>, default: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(default.into());
    }
}

/// Whether a reference means the newest image: no tag and no digest, or the tag `latest`.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest",
    }
}
