//! The pods while the agent runs: a live table on a terminal, else a log line for every change that it would show.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use reeve_agent::Handles;
use reeve_agent::status::PodEvent;
use tokio::sync::broadcast::error::RecvError;

use super::Stop;
use crate::terminal::{self, screen};
use crate::view::pod_row::PodRow;
use crate::view::table;

/// Ages and the width of the terminal change without an event.
const TICK: Duration = Duration::from_secs(1);

/// Several changes at once are drawn once.
const SETTLE: Duration = Duration::from_millis(30);

const HEAD: [&str; 6] = ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "NODE-PORT"];

/// Shows the pods until the task is ended.
pub(super) async fn run(handles: Handles, table: bool, stop: Stop) {
    if table { draw(&handles, &stop).await } else { log(&handles).await }
}

async fn draw(handles: &Handles, stop: &Stop) {
    loop {
        let mut watch = handles.pods.watch();
        let pods: Vec<&Pod> = watch.pods.iter().map(AsRef::as_ref).collect();
        let lines = page(&pods, foot(handles, stop.is_cancelled()), Timestamp::now());
        // A terminal that has gone is no reason to end the pods.
        if screen::show(fit(lines, terminal::size())).is_err() {
            return;
        }
        tokio::select! {
            _ = watch.events.recv() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// What stands under the table: problems of the sources, and what Ctrl-C does or has done.
fn foot(handles: &Handles, stopping: bool) -> Vec<String> {
    let problems = |state: &reeve_agent::sources::SourceState| {
        let count = state.diagnostics.len() + usize::from(state.error.is_some());
        (count > 0).then(|| format!("{}: {count} problem(s), see `reeve get sources`", state.name))
    };
    let mut lines: Vec<String> = handles.sources.list().iter().filter_map(problems).collect();
    let then = if handles.config.keep { "leaves the pods running" } else { "removes the pods" };
    lines.push(match (stopping, handles.config.keep) {
        (false, _) => format!("Ctrl-C ends the agent and {then}"),
        (true, true) => "ending; the pods go on".into(),
        (true, false) => "ending: waiting for the pods to stop; Ctrl-C once more ends at once".into(),
    });
    lines
}

/// The table with a blank line above, so that it stands off the log.
fn page(pods: &[&Pod], foot: Vec<String>, now: Timestamp) -> Vec<String> {
    let several = pods.iter().any(|pod| pod.metadata.namespace != pods[0].metadata.namespace);
    let cells = |pod: &&Pod| {
        let row = PodRow::of(pod, now);
        let name = if several { format!("{}/{}", row.namespace, row.name) } else { row.name };
        vec![name, row.ready, explained(pod, row.status), row.restarts, row.age, row.node_port]
    };
    let rows: Vec<_> = pods.iter().map(cells).collect();
    let mut lines = vec![String::new()];
    if rows.is_empty() {
        lines.push("No pods yet".into());
    } else {
        lines.extend(table::render(&HEAD, &rows));
    }
    lines.extend(foot);
    lines
}

/// A container that is killed for its memory is seen as OOMKilled for a moment only: the table says so as long as it
/// waits for its restart.
fn explained(pod: &Pod, status: String) -> String {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut last =
        statuses.filter_map(|status| status.last_state.as_ref()?.terminated.as_ref()?.reason.as_deref());
    if status == "CrashLoopBackOff" && last.any(|reason| reason == "OOMKilled") {
        return "OOMKilled, CrashLoopBackOff".into();
    }
    status
}

/// Cuts lines to the width of the terminal, and leaves pods out that do not fit its height.
fn fit(lines: Vec<String>, size: Option<(u16, u16)>) -> Vec<String> {
    let Some((columns, rows)) = size.map(|(columns, rows)| (usize::from(columns), usize::from(rows))) else {
        return lines;
    };
    let mut lines: Vec<_> = lines.iter().map(|line| table::clip(line, columns)).collect();
    let room = rows.saturating_sub(1).max(3);
    if lines.len() > room {
        let hidden = lines.len() - room + 1;
        lines.truncate(room - 1);
        lines.push(table::clip(&format!("… and {hidden} more lines"), columns));
    }
    lines
}

/// What was last said of a pod.
type Said = BTreeMap<String, (String, String, String)>;

async fn log(handles: &Handles) {
    let mut said = Said::new();
    let mut watch = handles.pods.watch();
    watch.pods.iter().for_each(|pod| say(&mut said, pod));
    loop {
        match watch.events.recv().await {
            Ok(PodEvent::Applied(pod)) => say(&mut said, &pod),
            Ok(PodEvent::Deleted(pod)) => {
                let row = PodRow::of(&pod, Timestamp::now());
                said.remove(pod.metadata.uid.as_deref().unwrap_or_default());
                tracing::info!(pod = %format!("{}/{}", row.namespace, row.name), "removed");
            }
            Err(RecvError::Lagged(_)) => {
                watch = handles.pods.watch();
                watch.pods.iter().for_each(|pod| say(&mut said, pod));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn say(said: &mut Said, pod: &Pod) {
    let row = PodRow::of(pod, Timestamp::now());
    let restarts = row.restarts.split(' ').next().unwrap_or_default().to_owned();
    let now = (row.status, row.ready, restarts);
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    if said.get(&uid) == Some(&now) {
        return;
    }
    let name = format!("{}/{}", row.namespace, row.name);
    tracing::info!(pod = %name, status = %now.0, ready = %now.1, restarts = %now.2, "pod");
    said.insert(uid, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::{now, pod};
    use serde_json::json;

    fn web(namespace: &str, name: &str) -> Pod {
        pod(json!({
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-21T11:59:18Z"},
            "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080}]}]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "a", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}}]},
        }))
    }

    #[test]
    fn a_table() {
        let web = web("default", "web");
        let lines = page(&[&web], vec!["Ctrl-C".into()], now());
        assert_eq!(lines[1], "NAME   READY   STATUS    RESTARTS   AGE   NODE-PORT");
        assert_eq!(lines[2], "web    1/1     Running   0          42s   8080->80/TCP");
        assert_eq!(lines[3], "Ctrl-C");
    }

    #[test]
    fn namespaces_are_named_where_there_are_several() {
        let pods = [web("default", "web"), web("other", "web")];
        let lines = page(&pods.iter().collect::<Vec<_>>(), Vec::new(), now());
        assert!(lines[3].starts_with("other/web"), "{lines:?}");
    }

    #[test]
    fn fits_the_terminal() {
        let lines: Vec<_> = (0..10).map(|n| format!("pod-{n}")).collect();
        let shown = fit(lines.clone(), Some((5, 6)));
        assert_eq!(shown, ["pod-0", "pod-1", "pod-2", "pod-3", "… an…"]);
        assert_eq!(fit(lines.clone(), None), lines);
    }
}
