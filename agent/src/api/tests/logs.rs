//! Logs of containers, by what the store says of their instances.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use http::{Method, StatusCode};
use reeve_proto::cri;
use serde_json::{Value, json};

use super::fake::Fake;

const LOG: &str = "/api/v1/namespaces/default/pods/web/log";

fn pod(state: Value, restarts: i32, last: Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}]},
        "status": {"containerStatuses": [{
            "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": restarts,
            "containerID": format!("reeve://id{restarts}"), "state": state, "lastState": last,
        }]},
    })
}

fn running(restarts: i32) -> Value {
    pod(json!({"running": {}}), restarts, json!({}))
}

/// Appends to the log of an instance, where it is when the runtime does not say otherwise.
fn append(fake: &Fake, instance: i32, text: &str) -> PathBuf {
    let dir = fake.dir.path().join("logs/default_web_u1/a");
    fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join(format!("{instance}.log"));
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).expect("a log");
    file.write_all(text.as_bytes()).expect("written");
    path
}

fn record(text: &str) -> String {
    format!("2026-11-21T10:00:00.000000001Z stdout F {text}\n")
}

#[tokio::test]
async fn whole_tail_and_timestamps() {
    let fake = Fake::start().await;
    fake.apply(running(0));
    append(&fake, 0, &(record("one") + &record("two")));
    assert_eq!(fake.text(Method::GET, LOG).await, (StatusCode::OK, "one\ntwo\n".into()));
    assert_eq!(fake.text(Method::GET, &format!("{LOG}?tailLines=1")).await.1, "two\n");
    let (_, stamped) =
        fake.text(Method::GET, &format!("{LOG}?container=a&timestamps=true&tailLines=1")).await;
    assert_eq!(stamped, "2026-11-21T10:00:00.000000001Z two\n");
    assert_eq!(fake.text(Method::GET, &format!("{LOG}?sinceSeconds=1")).await.1, "");
}

#[tokio::test]
async fn the_runtime_says_where_the_log_is() {
    let fake = Fake::start().await;
    fake.apply(running(0));
    let path = append(&fake, 7, &record("seven"));
    let status =
        cri::ContainerStatus { log_path: path.to_str().expect("UTF-8").into(), ..Default::default() };
    let answer = cri::ContainerStatusResponse { status: Some(status), ..Default::default() };
    fake.answers("ContainerStatus", answer);
    assert_eq!(fake.text(Method::GET, LOG).await.1, "seven\n");
}

#[tokio::test]
async fn previous_is_the_instance_before() {
    let fake = Fake::start().await;
    fake.apply(pod(
        json!({"running": {}}),
        2,
        json!({"terminated": {"exitCode": 1, "containerID": "reeve://id1"}}),
    ));
    append(&fake, 1, &record("before"));
    append(&fake, 2, &record("now"));
    assert_eq!(fake.text(Method::GET, LOG).await.1, "now\n");
    assert_eq!(fake.text(Method::GET, &format!("{LOG}?previous=true")).await.1, "before\n");
}

#[tokio::test]
async fn what_cannot_be_shown_is_said() {
    let fake = Fake::start().await;
    fake.apply(running(0));
    let message = async |path: &str| {
        let (status, text) = fake.text(Method::GET, path).await;
        let problem: Value = serde_json::from_str(&text).expect("a Status");
        (status, problem["message"].as_str().expect("a message").to_owned())
    };
    let (status, text) = message(&format!("{LOG}?previous=true")).await;
    assert_eq!(
        (status, &text[..]),
        (StatusCode::BAD_REQUEST, "previous terminated container a in pod web not found")
    );
    let (status, text) = message(&format!("{LOG}?container=b")).await;
    assert_eq!((status, &text[..]), (StatusCode::BAD_REQUEST, "container b in pod web is waiting to start"));
    let (status, text) = message(&format!("{LOG}?container=x")).await;
    assert_eq!(
        (status, &text[..]),
        (StatusCode::BAD_REQUEST, r#"pod web has no container "x"; it has: a, b"#)
    );
    assert_eq!(message(LOG).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn follows_through_rotation_until_the_container_ends() {
    let fake = Fake::start().await;
    fake.apply(running(0));
    let log = append(&fake, 0, &record("one"));
    let mut stream = fake.stream(&format!("{LOG}?follow=true")).await;
    assert_eq!(stream.line().await.as_deref(), Some("one"));
    append(&fake, 0, &record("two"));
    assert_eq!(stream.line().await.as_deref(), Some("two"));
    fs::rename(&log, log.with_extension("log.20261121-100000")).expect("rotated");
    append(&fake, 0, &record("three"));
    assert_eq!(stream.line().await.as_deref(), Some("three"));
    append(&fake, 0, &record("last"));
    fake.apply(pod(json!({"terminated": {"exitCode": 0}}), 0, json!({})));
    assert_eq!(stream.line().await.as_deref(), Some("last"));
    assert_eq!(stream.line().await, None);
}
