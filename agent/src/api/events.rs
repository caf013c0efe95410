//! Events: all that are kept, or those and then what happens.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::Event;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::Api;
use super::pods::ListQuery;
use super::watch::{self, Lines};

pub(super) async fn list_all(State(api): State<Api>, Query(query): Query<ListQuery>) -> Response {
    list(api, None, &query)
}

pub(super) async fn list_namespace(
    State(api): State<Api>,
    Path(namespace): Path<String>,
    Query(query): Query<ListQuery>,
) -> Response {
    list(api, Some(namespace), &query)
}

fn list(api: Api, namespace: Option<String>, query: &ListQuery) -> Response {
    if !query.wants_watch() {
        let events = api.handles.events.list();
        let shown = events.iter().map(|event| &**event).filter(|event| is_in(event, namespace.as_deref()));
        let items: Vec<&Event> = shown.collect();
        let list = json!({"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": items});
        return Json(list).into_response();
    }
    let (lines, response) = watch::lines();
    tokio::spawn(async move {
        tokio::select! {
            () = follow(&api, namespace.as_deref(), &lines) => {}
            () = lines.closed() => {}
            () = api.shutdown.cancelled() => {}
        }
    });
    response
}

async fn follow(api: &Api, namespace: Option<&str>, lines: &Lines) {
    // Subscribed before listed: an event between the two comes twice, by the same name, rather than never.
    let mut new = api.handles.events.subscribe();
    for event in api.handles.events.list().iter().filter(|event| is_in(event, namespace)) {
        if !lines.send("ADDED", &**event).await {
            return;
        }
    }
    if !lines.bookmark("Event").await {
        return;
    }
    loop {
        match new.recv().await {
            Ok(event) if !is_in(&event, namespace) => {}
            Ok(event) => {
                let change = if event.count.unwrap_or(1) > 1 { "MODIFIED" } else { "ADDED" };
                if !lines.send(change, &*event).await {
                    return;
                }
            }
            // What was missed is of the past; the list still has it.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn is_in(event: &Event, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|wanted| event.metadata.namespace.as_deref() == Some(wanted))
}
