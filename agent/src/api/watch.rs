//! Watches as the Kubernetes API gives them: a JSON line `{"type": …, "object": …}` for each change.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Lines that may wait for a slow reader before the watch waits too.
const BACKLOG: usize = 64;

/// The writing end of a watch.
pub(super) struct Lines {
    sender: mpsc::Sender<Bytes>,
}

impl Lines {
    /// Writes one change of an object; false when nobody reads any more.
    pub(super) async fn send(&self, change: &str, object: &impl Serialize) -> bool {
        self.send_value(&json!({"type": change, "object": object})).await
    }

    /// Says that what came before was the state at the start, and what comes now are changes.
    pub(super) async fn bookmark(&self, kind: &str) -> bool {
        let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {}});
        self.send_value(&json!({"type": "BOOKMARK", "object": object})).await
    }

    /// Writes any value as a line.
    pub(super) async fn send_value(&self, value: &Value) -> bool {
        self.sender.send(Bytes::from(format!("{value}\n"))).await.is_ok()
    }

    /// Resolves when the reader has gone.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// A response of JSON lines and the end to write them to.
pub(super) fn lines() -> (Lines, Response) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let body = Body::from_stream(ReceiverStream::new(receiver).map(Ok::<_, Infallible>));
    (Lines { sender }, ([(CONTENT_TYPE, "application/json")], body).into_response())
}
