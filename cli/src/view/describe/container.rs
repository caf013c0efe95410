//! The part of the page about one container.

use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerState, ContainerStatus, EnvVar};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::page::Page;
use super::{probe, time};

/// All `containers` under `title`, each with its status.
pub(crate) fn list(page: &mut Page, title: &str, containers: &[Container], statuses: &[ContainerStatus]) {
    page.line(0, &format!("{title}:"));
    for container in containers {
        page.line(1, &format!("{}:", container.name));
        one(page, container, statuses.iter().find(|status| status.name == container.name));
    }
}

fn one(page: &mut Page, container: &Container, status: Option<&ContainerStatus>) {
    let ports = container.ports.as_deref().unwrap_or_default();
    page.pairs(
        2,
        &[
            ("Container ID", status.and_then(|s| s.container_id.clone()).unwrap_or_default()),
            ("Image", container.image.clone().unwrap_or_default()),
            ("Image ID", status.map(|s| s.image_id.clone()).unwrap_or_default()),
            ("Ports", joined(ports, |port| Some(port.container_port))),
            ("Host Ports", joined(ports, |port| port.host_port)),
        ],
    );
    for (key, words) in [("Command", &container.command), ("Args", &container.args)] {
        if let Some(words) = words.as_ref().filter(|words| !words.is_empty()) {
            page.list(2, key, words);
        }
    }
    if let Some(status) = status {
        state(page, "State", status.state.as_ref());
        if status.last_state.as_ref().is_some_and(|last| *last != ContainerState::default()) {
            state(page, "Last State", status.last_state.as_ref());
        }
        let ready = if status.ready { "True" } else { "False" };
        page.pairs(2, &[("Ready", ready.into()), ("Restart Count", status.restart_count.to_string())]);
    }
    settings(page, container);
}

fn settings(page: &mut Page, container: &Container) {
    if let Some(resources) = &container.resources {
        for (key, amounts) in [("Limits", &resources.limits), ("Requests", &resources.requests)] {
            if let Some(amounts) = amounts.as_ref().filter(|amounts| !amounts.is_empty()) {
                let amount = |(name, Quantity(value)): (&String, &Quantity)| format!("{name}: {value}");
                page.list(2, key, &amounts.iter().map(amount).collect::<Vec<_>>());
            }
        }
    }
    let probes = [
        ("Liveness", &container.liveness_probe),
        ("Readiness", &container.readiness_probe),
        ("Startup", &container.startup_probe),
    ];
    let probes: Vec<_> =
        probes.into_iter().filter_map(|(key, probe)| Some((key, probe::line(probe.as_ref()?)))).collect();
    page.pairs(2, &probes);
    let env: Vec<_> = container.env.iter().flatten().map(variable).collect();
    page.list(2, "Environment", &env);
    let mounts = container.volume_mounts.iter().flatten().map(|mount| {
        let mode = if mount.read_only == Some(true) { "ro" } else { "rw" };
        format!("{} from {} ({mode})", mount.mount_path, mount.name)
    });
    page.list(2, "Mounts", &mounts.collect::<Vec<_>>());
}

fn joined(ports: &[ContainerPort], number: impl Fn(&ContainerPort) -> Option<i32>) -> String {
    let one = |port: &ContainerPort| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        number(port).filter(|number| *number != 0).map(|number| format!("{number}/{protocol}"))
    };
    let shown: Vec<_> = ports.iter().filter_map(one).collect();
    if shown.is_empty() { "<none>".into() } else { shown.join(", ") }
}

fn state(page: &mut Page, key: &str, state: Option<&ContainerState>) {
    let empty = ContainerState::default();
    let state = state.unwrap_or(&empty);
    if let Some(running) = &state.running {
        page.pairs(2, &[(key, "Running".into())]);
        page.pairs(3, &[("Started", time(running.started_at.as_ref().map(|t| &t.0)))]);
    } else if let Some(waiting) = &state.waiting {
        page.pairs(2, &[(key, "Waiting".into())]);
        let reason = waiting.reason.clone().map(|reason| ("Reason", reason));
        let message = waiting.message.clone().map(|message| ("Message", message));
        page.pairs(3, &reason.into_iter().chain(message).collect::<Vec<_>>());
    } else if let Some(ended) = &state.terminated {
        page.pairs(2, &[(key, "Terminated".into())]);
        let mut pairs = vec![("Reason", ended.reason.clone().unwrap_or_default())];
        pairs.extend(ended.message.clone().map(|message| ("Message", message)));
        pairs.push(("Exit Code", ended.exit_code.to_string()));
        pairs.extend(ended.signal.filter(|s| *s != 0).map(|signal| ("Signal", signal.to_string())));
        pairs.push(("Started", time(ended.started_at.as_ref().map(|t| &t.0))));
        pairs.push(("Finished", time(ended.finished_at.as_ref().map(|t| &t.0))));
        page.pairs(3, &pairs);
    } else {
        page.pairs(2, &[(key, "Waiting".into())]);
    }
}

/// `NAME: value`, or where the value comes from.
fn variable(env: &EnvVar) -> String {
    let Some(source) = &env.value_from else {
        return format!("{}: {}", env.name, env.value.as_deref().unwrap_or_default());
    };
    let from = if let Some(field) = &source.field_ref {
        format!("(field {})", field.field_path)
    } else if let Some(resource) = &source.resource_field_ref {
        format!("(resource {})", resource.resource)
    } else if let Some(key) = &source.config_map_key_ref {
        format!("(key {} of config map {})", key.key, key.name)
    } else if let Some(key) = &source.secret_key_ref {
        format!("(key {} of secret {})", key.key, key.name)
    } else {
        "(unknown source)".to_owned()
    };
    format!("{}: {from}", env.name)
}
