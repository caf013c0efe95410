//! The client against a server on a Unix socket, and against none.

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::get;
use http::Method;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::Agent;

/// A server that answers at a few paths.
async fn serve() -> (tempfile::TempDir, Agent) {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let status = json!({"kind": "Status", "message": "pod default/web not found", "reason": "NotFound"});
    let pieces = ["{\"n\":1}\n{\"n\"", ":2}\n{\"n\":3}\n"].map(Ok::<_, std::convert::Infallible>);
    let router = Router::new()
        .route("/ok", get(|| async { r#"{"n": 7}"# }))
        .route("/gone", get(|| async move { (StatusCode::NOT_FOUND, status.to_string()) }))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/lines", get(move || async move { Body::from_stream(futures::stream::iter(pieces)) }));
    tokio::spawn(async { axum::serve(listener, router).await });
    (dir, Agent::at(&socket))
}

#[tokio::test]
async fn answers_and_refusals() {
    let (_dir, agent) = serve().await;
    assert_eq!(agent.get::<Value>("/ok").await.expect("an answer")["n"], 7);
    let gone = agent.get::<Value>("/gone").await.expect_err("not found");
    assert_eq!(gone.to_string(), "pod default/web not found");
    assert_eq!(crate::exit::report(&gone), std::process::ExitCode::from(crate::exit::NOT_FOUND));
    let broken = agent.get::<Value>("/broken").await.expect_err("an error");
    assert_eq!(broken.to_string(), "the agent answered 500 Internal Server Error");
}

#[tokio::test]
async fn lines_may_come_in_pieces() {
    let (_dir, agent) = serve().await;
    let mut lines = agent.send(Method::GET, "/lines").await.expect("an answer").lines();
    let mut numbers = Vec::new();
    while let Some(line) = lines.next::<Value>().await.expect("a line") {
        numbers.push(line["n"].as_u64().expect("a number"));
    }
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn nobody_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Agent::at(&dir.path().join("none.sock")).get::<Value>("/ok").await.expect_err("nobody");
    assert!(error.to_string().starts_with("no agent answers on "), "{error}");
    assert_eq!(crate::exit::report(&error), std::process::ExitCode::from(crate::exit::NO_AGENT));
}
