//! The agent itself: its sources, version, health and counters.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use reeve_proto::cri;
use serde_json::{Value, json};

use super::{Api, Problem, gauges};

pub(super) async fn sources(State(api): State<Api>) -> Json<Value> {
    Json(json!({"items": api.handles.sources.list()}))
}

/// The agent's version and its runtime's, for `reeve version`.
pub(super) async fn version(State(api): State<Api>) -> Json<Value> {
    let request = cri::VersionRequest { version: "v1".into() };
    let runtime = match api.handles.cri.runtime().version(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            json!({"name": answer.runtime_name, "version": answer.runtime_version})
        }
        Err(status) => json!({"error": status.message()}),
    };
    Json(json!({
        "agent": env!("CARGO_PKG_VERSION"),
        "node": api.handles.config.node_name,
        "started": api.handles.started,
        "runtime": runtime,
    }))
}

/// 200 as long as the process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 once every source has been read and the runtime says that it is ready; else 503 with what lacks.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let mut lacking = Vec::new();
    if !api.handles.sources.all_synced() {
        lacking.push("not every source has been read".to_owned());
    }
    match api.handles.cri.runtime().status(cri::StatusRequest { verbose: false }).await {
        Ok(answer) => {
            let conditions = answer.into_inner().status.unwrap_or_default().conditions;
            let failed = conditions.into_iter().filter(|condition| !condition.status);
            lacking.extend(failed.map(|c| format!("{} is false: {}", c.r#type, c.message)));
        }
        Err(status) => lacking.push(status.message().to_owned()),
    }
    if lacking.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", lacking.join("\n"))).into_response()
}

/// Counters in Prometheus' text format (OpenMetrics 1.0). What is counted of the present is counted when asked.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    gauges::set(&api.handles);
    let text = api.handles.metrics.encode().map_err(|error| Problem::internal(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
