//! Pods: one, all, or all and then what changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::watch::{self, Lines};
use super::{Api, Problem, target};
use crate::status::{PodEvent, Watch};

/// Query of a list.
#[derive(Default, Deserialize)]
pub(super) struct ListQuery {
    /// `1` or `true` to follow.
    #[serde(default)]
    pub(super) watch: Option<String>,
}

impl ListQuery {
    /// Whether changes are wanted too.
    pub(super) fn wants_watch(&self) -> bool {
        matches!(self.watch.as_deref(), Some("1" | "true" | ""))
    }
}

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

pub(super) async fn read(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let pod = target::pod(&api, &namespace, &name)?;
    Ok(Json(json!(*pod)))
}

fn list(api: Api, namespace: Option<String>, query: &ListQuery) -> Response {
    if !query.wants_watch() {
        let pods = api.handles.pods.list();
        let shown = pods.iter().map(|pod| &**pod).filter(|pod| is_in(pod, namespace.as_deref()));
        let items: Vec<&Pod> = shown.collect();
        let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items});
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

/// Writes the snapshot and every change after it, in the order of the store.
async fn follow(api: &Api, namespace: Option<&str>, lines: &Lines) {
    let mut shown = Shown::default();
    let mut watch = api.handles.pods.watch();
    if !shown.snapshot(&watch, namespace, lines).await || !lines.bookmark("Pod").await {
        return;
    }
    loop {
        let going_on = match watch.events.recv().await {
            Ok(PodEvent::Applied(pod)) if is_in(&pod, namespace) => shown.applied(&pod, lines).await,
            Ok(PodEvent::Deleted(pod)) if is_in(&pod, namespace) => shown.deleted(&pod, lines).await,
            Ok(_) => true,
            Err(RecvError::Lagged(_)) => {
                watch = api.handles.pods.watch();
                shown.snapshot(&watch, namespace, lines).await
            }
            Err(RecvError::Closed) => false,
        };
        if !going_on {
            return;
        }
    }
}

/// What the reader of a watch has been told.
#[derive(Default)]
struct Shown {
    pods: BTreeMap<String, Arc<Pod>>,
}

impl Shown {
    /// Brings the reader to the state of a snapshot: all of it at first, the differences after a lag.
    async fn snapshot(&mut self, watch: &Watch, namespace: Option<&str>, lines: &Lines) -> bool {
        let here: Vec<_> = watch.pods.iter().filter(|pod| is_in(pod, namespace)).collect();
        let gone = self.pods.values().filter(|old| !here.iter().any(|pod| uid(pod) == uid(old)));
        for pod in gone.cloned().collect::<Vec<_>>() {
            if !self.deleted(&pod, lines).await {
                return false;
            }
        }
        for pod in here {
            if self.pods.get(uid(pod)) != Some(pod) && !self.applied(pod, lines).await {
                return false;
            }
        }
        true
    }

    async fn applied(&mut self, pod: &Arc<Pod>, lines: &Lines) -> bool {
        let known = self.pods.insert(uid(pod).to_owned(), pod.clone()).is_some();
        lines.send(if known { "MODIFIED" } else { "ADDED" }, &**pod).await
    }

    async fn deleted(&mut self, pod: &Arc<Pod>, lines: &Lines) -> bool {
        self.pods.remove(uid(pod));
        lines.send("DELETED", &**pod).await
    }
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn is_in(pod: &Pod, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|wanted| pod.metadata.namespace.as_deref() == Some(wanted))
}
