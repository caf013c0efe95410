//! As much of an API server as the tasks need: it lists and watches pods, and notes every other request.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// The server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    /// Number of requests noted, so that tests wait for one rather than for time.
    noted: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    pods: Vec<Value>,
    watches: Vec<mpsc::UnboundedSender<Bytes>>,
    /// Changes that come before anybody watches.
    early: Vec<Bytes>,
    /// `METHOD path`, the body, whether it was carried out, and whether a test has taken it.
    requests: Vec<(String, Value, bool, bool)>,
    away: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server { state: Arc::default(), noted: watch::channel(0).0 }
    }
}

impl Server {
    /// One that has pods.
    pub(super) fn with(pods: Vec<Value>) -> Server {
        let server = Server::default();
        server.state.lock().expect("lock").pods = pods;
        server
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let router = Router::new().fallback(move |request: Request| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        Client::new(router, "default")
    }

    /// Lets every request but watches fail, or not any more.
    pub(super) fn away(&self, away: bool) {
        self.state.lock().expect("lock").away = away;
    }

    /// Tells those who watch of a change of a pod.
    pub(super) fn tell(&self, change: &str, pod: Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": change, "object": pod})));
        let mut state = self.state.lock().expect("lock");
        if state.watches.is_empty() {
            state.early.push(line);
        } else {
            state.watches.iter().for_each(|watch| drop(watch.send(line.clone())));
        }
    }

    /// Waits for a request that is carried out, and gives its body.
    pub(super) async fn request(&self, wanted: &str) -> Value {
        self.wait(wanted, true).await
    }

    /// Waits for a request that is refused.
    pub(super) async fn refused(&self, wanted: &str) {
        self.wait(wanted, false).await;
    }

    /// Whether such a request has come.
    pub(super) fn saw(&self, wanted: &str) -> bool {
        self.state.lock().expect("lock").requests.iter().any(|(request, ..)| request == wanted)
    }

    async fn wait(&self, wanted: &str, carried_out: bool) -> Value {
        let mut noted = self.noted.subscribe();
        loop {
            {
                let mut state = self.state.lock().expect("lock");
                let fits = |(request, _, done, taken): &&mut (String, Value, bool, bool)| {
                    request == wanted && *done == carried_out && !*taken
                };
                if let Some(found) = state.requests.iter_mut().find(fits) {
                    found.3 = true;
                    return found.1.clone();
                }
            }
            let changed = tokio::time::timeout(Duration::from_secs(60), noted.changed()).await;
            changed.unwrap_or_else(|_| panic!("no {wanted} came")).expect("the server lives");
        }
    }

    async fn answer(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        if parts.method == "GET" && path == "/api/v1/pods" {
            assert!(query.contains("fieldSelector=spec.nodeName%3Dnode-1"), "{query}");
            return if query.contains("watch=true") { self.watch() } else { self.list() };
        }
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        self.note(&format!("{} {path}", parts.method), body)
    }

    fn list(&self) -> Response {
        let items = self.state.lock().expect("lock").pods.clone();
        let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items});
        axum::Json(list).into_response()
    }

    fn watch(&self) -> Response {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.lock().expect("lock");
        state.early.drain(..).for_each(|line| drop(sender.send(line)));
        state.watches.push(sender);
        Body::from_stream(UnboundedReceiverStream::new(receiver).map(Ok::<_, Infallible>)).into_response()
    }

    fn note(&self, request: &str, body: Value) -> Response {
        let away = {
            let mut state = self.state.lock().expect("lock");
            let away = state.away;
            state.requests.push((request.to_owned(), body.clone(), !away, false));
            away
        };
        self.noted.send_modify(|number| *number += 1);
        let status = |code: StatusCode| {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                              "message": "as the test wants it", "reason": "Test"});
            (code, axum::Json(body)).into_response()
        };
        if away {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        // The lease is not there yet; everything else is as it was sent.
        if request.starts_with("PATCH") && request.contains("/leases/") {
            return status(StatusCode::NOT_FOUND);
        }
        let object = match request.contains("/nodes") {
            true => {
                json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "uid": "uid-node"}})
            }
            false if request.contains("/pods/") && request.starts_with("PATCH") => {
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}})
            }
            false => body,
        };
        axum::Json(object).into_response()
    }
}
