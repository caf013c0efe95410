//! `GET …/pods/NAME/exec`: runs a command in a container, over a WebSocket.
//!
//! Query: `container`, `command` (repeated), `stdin`, `stdout`, `stderr`, `tty`. The protocol is Kubernetes'
//! `v5.channel.k8s.io`: binary messages, the first byte of each names the channel (0 stdin, 1 stdout, 2 stderr,
//! 3 the outcome as metav1.Status, 4 the terminal's size, 255 the end of a channel). The runtime's streaming
//! server speaks the same, so messages are passed on as they are.

mod relay;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use reeve_proto::cri::ExecRequest;

use super::{Api, Problem, target};

/// Protocols that we pass on, best first.
pub const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

pub(super) async fn serve(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let pod = target::pod(&api, &namespace, &name)?;
    let container = target::container(&pod, value(&query, "container"))?;
    let status = target::status(&pod, &container);
    let running = status.filter(|s| s.state.as_ref().is_some_and(|state| state.running.is_some()));
    let id = running
        .and_then(|s| target::runtime_id(s.container_id.as_deref()))
        .ok_or_else(|| Problem::conflict(format!("container {container} of pod {name} is not running")))?;
    let request = request(id, &query)?;
    let answer = api.handles.cri.runtime().exec(request).await;
    let url = answer.map_err(|status| Problem::runtime(&status))?.into_inner().url;
    let upstream = relay::connect(&url).await.map_err(|error| Problem::internal(error.to_string()))?;
    let upgrade = upgrade.protocols([upstream.protocol.clone()]);
    Ok(upgrade.on_upgrade(move |client| async move {
        tokio::select! {
            () = relay::run(client, upstream.socket) => {}
            () = api.shutdown.cancelled() => {}
        }
    }))
}

fn request(id: &str, query: &[(String, String)]) -> Result<ExecRequest, Problem> {
    let cmd: Vec<String> =
        query.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
    if cmd.is_empty() {
        return Err(Problem::bad_request("an exec needs a command".into()));
    }
    let tty = is_set(query, "tty", false);
    Ok(ExecRequest {
        container_id: id.to_owned(),
        cmd,
        tty,
        stdin: is_set(query, "stdin", false),
        stdout: is_set(query, "stdout", true),
        // A terminal has one output; CRI refuses both.
        stderr: !tty && is_set(query, "stderr", true),
    })
}

fn value<'a>(query: &'a [(String, String)], key: &str) -> Option<&'a str> {
    query.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
}

fn is_set(query: &[(String, String)], key: &str, default: bool) -> bool {
    value(query, key).map_or(default, |value| matches!(value, "1" | "true"))
}
