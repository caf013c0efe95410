//! `GET …/pods/NAME/log`: a container's output from its log file in the CRI format.
//!
//! Query: `container`, `follow`, `previous` (the instance before this one), `tailLines`, `sinceSeconds`,
//! `timestamps`, as of the Kubernetes API. Lines which the runtime had to split are joined; following goes on
//! through rotation and ends when the container does.

mod file;
mod join;
mod reader;
mod tail;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use reeve_proto::cri::ContainerStatusRequest;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::reader::{Options, Reader};
use super::{Api, Problem, target};
use crate::status::{PodEvent, Watch};

/// Chunks that may wait for a slow reader before reading waits too.
const BACKLOG: usize = 16;

/// Which part of which log is wanted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogQuery {
    container: Option<String>,
    follow: bool,
    previous: bool,
    tail_lines: Option<usize>,
    since_seconds: Option<i64>,
    timestamps: bool,
}

pub(super) async fn serve(
    State(api): State<Api>,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let pod = target::pod(&api, &namespace, &name)?;
    let container = target::container(&pod, query.container.as_deref())?;
    let instance = Instance::find(&pod, &container, query.previous)?;
    let path = instance.log_path(&api, &pod).await;
    let options = Options {
        tail: query.tail_lines,
        since: query.since_seconds.map(|s| api.handles.clock.now() - SignedDuration::from_secs(s)),
        timestamps: query.timestamps,
    };
    let reader = Reader::open(&path, options).await.map_err(|error| {
        Problem::not_found(format!("container {container} of pod {name} has no log yet: {error}"))
    })?;
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        let copied = async {
            if query.follow && !query.previous {
                follow(&api, &instance, reader, &sender).await
            } else {
                reader.copy(&sender).await
            }
        };
        let outcome = tokio::select! {
            outcome = copied => outcome,
            () = sender.closed() => Ok(()),
            () = api.shutdown.cancelled() => Ok(()),
        };
        if let Err(error) = outcome {
            let _ = sender.send(Err(error)).await;
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

type Chunks = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// One run of a container.
struct Instance {
    uid: String,
    container: String,
    /// Id at the runtime.
    id: Option<String>,
    restart: i32,
}

impl Instance {
    /// The present (or, while it waits to be restarted, the last) instance, or the one before that.
    fn find(pod: &Pod, container: &str, previous: bool) -> Result<Instance, Problem> {
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        let waiting =
            || Problem::bad_request(format!("container {container} in pod {pod_name} is waiting to start"));
        let status = target::status(pod, container).ok_or_else(waiting)?;
        let (id, restart) = if previous {
            let id = previous_id(status).ok_or_else(|| {
                Problem::bad_request(format!(
                    "previous terminated container {container} in pod {pod_name} not found"
                ))
            })?;
            (Some(id), status.restart_count - 1)
        } else {
            let id = target::runtime_id(status.container_id.as_deref()).map(str::to_owned);
            (Some(id.ok_or_else(waiting)?), status.restart_count)
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        Ok(Instance { uid, container: container.to_owned(), id, restart })
    }

    /// Where its log is: as the runtime says, or, of a container which it has forgotten, where it must be.
    async fn log_path(&self, api: &Api, pod: &Pod) -> PathBuf {
        if let Some(id) = &self.id {
            let request = ContainerStatusRequest { container_id: id.clone(), verbose: false };
            if let Ok(answer) = api.handles.cri.runtime().container_status(request).await {
                let path = answer.into_inner().status.unwrap_or_default().log_path;
                if !path.is_empty() {
                    return PathBuf::from(path);
                }
            }
        }
        let meta = &pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or("default");
        let dir =
            api.handles.config.pod_log_dir(namespace, meta.name.as_deref().unwrap_or_default(), &self.uid);
        dir.join(&self.container).join(format!("{}.log", self.restart))
    }

    /// Whether this instance still runs, by what the store says of its pod.
    fn is_running(&self, pod: &Pod) -> bool {
        target::status(pod, &self.container).is_some_and(|status| {
            target::runtime_id(status.container_id.as_deref()) == self.id.as_deref()
                && status.state.as_ref().is_some_and(|state| state.running.is_some())
        })
    }
}

fn previous_id(status: &ContainerStatus) -> Option<String> {
    let ended = status.last_state.as_ref()?.terminated.as_ref()?;
    target::runtime_id(ended.container_id.as_deref()).map(str::to_owned)
}

/// Copies what is there and what comes, until the instance has ended and its last line was copied.
async fn follow(api: &Api, instance: &Instance, mut reader: Reader, out: &Chunks) -> std::io::Result<()> {
    let mut changes = watcher::Watcher::new(reader.path())?;
    let mut watch = api.handles.pods.watch();
    loop {
        // Asked before reading: what it wrote before it ended is then read.
        let running = is_running(api, instance);
        reader.copy_available(out).await?;
        if reader.take_up_rotation().await? {
            continue;
        }
        if !running {
            return reader.finish(out).await;
        }
        tokio::select! {
            changed = changes.changed() => changed?,
            () = pod_changed(api, &instance.uid, &mut watch) => {}
        }
    }
}

fn is_running(api: &Api, instance: &Instance) -> bool {
    api.handles.pods.by_uid(&instance.uid).is_some_and(|pod| instance.is_running(&pod))
}

/// Waits until something about the pod of this UID changed.
async fn pod_changed(api: &Api, uid: &str, watch: &mut Watch) {
    use tokio::sync::broadcast::error::RecvError;
    let is_it = |pod: &Arc<Pod>| pod.metadata.uid.as_deref() == Some(uid);
    loop {
        match watch.events.recv().await {
            Ok(PodEvent::Applied(pod) | PodEvent::Deleted(pod)) if is_it(&pod) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                *watch = api.handles.pods.watch();
                return;
            }
            // The store lives as long as the agent: nothing can change any more.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
