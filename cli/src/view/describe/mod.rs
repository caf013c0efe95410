//! `reeve describe pod`: everything about a pod on one page, in the order and words of `kubectl describe`.

mod container;
mod page;
mod probe;
mod volume;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Event, Pod, PodSpec, PodStatus};
use k8s_openapi::jiff::{Timestamp, tz::TimeZone};

use self::page::Page;
use super::{event_row, table};

/// The page about `pod`, with the events that concern it, as seen at `now`.
pub(crate) fn pod(pod: &Pod, events: &[Event], now: Timestamp) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let mut page = Page::default();
    identity(&mut page, pod, &spec, &status);
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    if !inits.is_empty() {
        let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
        container::list(&mut page, "Init Containers", inits, statuses);
    }
    let statuses = status.container_statuses.as_deref().unwrap_or_default();
    container::list(&mut page, "Containers", &spec.containers, statuses);
    conditions(&mut page, &status);
    volume::list(&mut page, spec.volumes.as_deref().unwrap_or_default());
    page.pairs(0, &[("QoS Class", status.qos_class.clone().unwrap_or_default())]);
    for line in event_row::described(events, now) {
        page.line(0, &line);
    }
    page.finish()
}

fn identity(page: &mut Page, pod: &Pod, spec: &PodSpec, status: &PodStatus) {
    let meta = &pod.metadata;
    let node = [spec.node_name.as_deref(), status.host_ip.as_deref()];
    let mut pairs = vec![
        ("Name", meta.name.clone().unwrap_or_default()),
        ("Namespace", meta.namespace.clone().unwrap_or_default()),
        ("UID", meta.uid.clone().unwrap_or_default()),
        ("Priority", spec.priority.unwrap_or(0).to_string()),
        ("Node", node.into_iter().flatten().collect::<Vec<_>>().join("/")),
        ("Start Time", time(status.start_time.as_ref().map(|t| &t.0))),
        ("Labels", map(meta.labels.as_ref(), "=")),
        ("Annotations", map(meta.annotations.as_ref(), ": ")),
    ];
    if let Some(deleted) = &meta.deletion_timestamp {
        let grace = meta.deletion_grace_period_seconds.unwrap_or(0);
        pairs.push(("Status", format!("Terminating (since {})", time(Some(&deleted.0)))));
        pairs.push(("Termination Grace Period", format!("{grace}s")));
    } else {
        pairs.push(("Status", status.phase.clone().unwrap_or_default()));
    }
    pairs.extend(status.reason.clone().map(|reason| ("Reason", reason)));
    pairs.extend(status.message.clone().map(|message| ("Message", message)));
    pairs.push(("IP", status.pod_ip.clone().unwrap_or_default()));
    page.pairs(0, &pairs);
    let ips = status.pod_ips.as_deref().unwrap_or_default();
    if ips.is_empty() {
        page.line(0, "IPs:  <none>");
    } else {
        page.line(0, "IPs:");
        ips.iter().for_each(|ip| page.pairs(1, &[("IP", ip.ip.clone())]));
    }
}

fn conditions(page: &mut Page, status: &PodStatus) {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if conditions.is_empty() {
        return;
    }
    let cells = |c: &k8s_openapi::api::core::v1::PodCondition| {
        let why = c.reason.clone().into_iter().chain(c.message.clone()).filter(|text| !text.is_empty());
        vec![c.type_.clone(), c.status.clone(), why.collect::<Vec<_>>().join(": ")]
    };
    let rows: Vec<_> = conditions.iter().map(cells).collect();
    page.line(0, "Conditions:");
    table::render(&["Type", "Status", "Why"], &rows).iter().for_each(|line| page.line(1, line));
}

/// A moment in the local time zone, with its offset, so that nobody has to guess.
fn time(then: Option<&Timestamp>) -> String {
    let Some(then) = then else { return "<unknown>".into() };
    then.to_zoned(TimeZone::try_system().unwrap_or(TimeZone::UTC))
        .strftime("%a, %d %b %Y %H:%M:%S %z")
        .to_string()
}

/// A map, one entry a line.
fn map(map: Option<&BTreeMap<String, String>>, between: &str) -> String {
    let entries: Vec<_> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}{between}{value}")).collect();
    if entries.is_empty() { "<none>".into() } else { entries.join("\n") }
}

#[cfg(test)]
mod tests;
