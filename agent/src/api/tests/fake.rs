//! An agent without an agent: the API on a socket of its own, over a store and a runtime that tests fill.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use prost::Message;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;

use crate::clock::Clock;
use crate::config::Config;
use crate::cri::Cri;
use crate::{Handles, api};

/// What the runtime answers, by the name of the call.
type Answers = Arc<Mutex<HashMap<&'static str, Result<Vec<u8>, Status>>>>;

/// A served API, and what it is served from.
pub(super) struct Fake {
    pub(super) handles: Handles,
    pub(super) dir: tempfile::TempDir,
    answers: Answers,
    stop: CancellationToken,
}

impl Fake {
    pub(super) async fn start() -> Fake {
        Fake::with(|_| {}).await
    }

    /// With changed settings.
    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Fake {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        let mut config = Config::new(dir.path(), &state, &state.join("none.sock"));
        config.log_root = dir.path().join("logs");
        change(&mut config);
        let answers = Answers::default();
        let transport = transport(answers.clone());
        let cri = Cri::over(transport.clone(), transport);
        let handles = Handles::over(config, cri, Clock::system());
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(handles.clone(), stop.clone()));
        let fake = Fake { handles, dir, answers, stop };
        while UnixStream::connect(fake.socket()).await.is_err() {
            tokio::task::yield_now().await;
        }
        fake
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.handles.config.api_socket.clone()
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Lets the runtime answer a call.
    pub(super) fn answers(&self, call: &'static str, answer: impl Message) {
        self.answers.lock().expect("lock").insert(call, Ok(answer.encode_to_vec()));
    }

    /// Lets the runtime fail a call.
    pub(super) fn fails(&self, call: &'static str, status: Status) {
        self.answers.lock().expect("lock").insert(call, Err(status));
    }

    /// Puts a pod, written as JSON, into the store.
    pub(super) fn apply(&self, pod: Value) {
        let pod: Pod = serde_json::from_value(pod).expect("a literal pod");
        self.handles.pods.apply(pod);
    }

    pub(super) async fn send(&self, method: Method, path: &str) -> Response<Incoming> {
        let stream = TokioIo::new(UnixStream::connect(self.socket()).await.expect("connected"));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.expect("handshake");
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        sender.send_request(request.body(Empty::<Bytes>::new()).expect("a request")).await.expect("an answer")
    }

    /// Status and text of an answer.
    pub(super) async fn text(&self, method: Method, path: &str) -> (StatusCode, String) {
        let answer = self.send(method, path).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// A successful answer's JSON.
    pub(super) async fn json(&self, method: Method, path: &str) -> Value {
        let (status, text) = self.text(method, path).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The body of a stream, to be read piece by piece.
    pub(super) async fn stream(&self, path: &str) -> Stream {
        let answer = self.send(Method::GET, path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        Stream { body: answer.into_body(), text: String::new() }
    }

    /// The mode of the socket.
    pub(super) fn socket_mode(&self) -> u32 {
        std::fs::metadata(self.socket()).expect("a socket").permissions().mode() & 0o777
    }
}

/// A body that is still being written.
pub(super) struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    /// The next line; `None` at the end.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(line);
            }
            let frame = self.body.frame().await?.expect("a frame");
            let bytes = frame.into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }

    /// The next line as JSON.
    pub(super) async fn value(&mut self) -> Value {
        serde_json::from_str(&self.line().await.expect("a line")).expect("JSON")
    }
}

/// gRPC as far as unary calls need it.
fn transport(answers: Answers) -> crate::cri::Transport {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
        let call = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = answers.lock().expect("lock").get(call.as_str()).cloned();
        let answer = answer.unwrap_or_else(|| Err(Status::unimplemented(format!("{call} is not faked"))));
        std::future::ready(Ok(response(answer)))
    }))
}

fn response(answer: Result<Vec<u8>, Status>) -> Response<Body> {
    let message = match answer {
        Ok(message) => message,
        Err(status) => return status.into_http(),
    };
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a small message"));
    framed.put_slice(&message);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("name"), HeaderValue::from(0))]);
    let frames = [Frame::data(framed.freeze()), Frame::trailers(trailers)].map(Ok::<_, Status>);
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}
