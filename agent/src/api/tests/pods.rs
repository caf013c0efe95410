//! Lists, watches, errors, and the socket itself.

use http::{Method, StatusCode};
use reeve_proto::cri;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use crate::api;
use crate::events::EventType;

fn pod(namespace: &str, name: &str, phase: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": format!("{namespace}-{name}")},
        "spec": {"containers": [{"name": "a"}]}, "status": {"phase": phase},
    })
}

#[tokio::test]
async fn lists_pods_as_kubernetes_does() {
    let fake = Fake::start().await;
    fake.apply(pod("default", "web", "Running"));
    fake.apply(pod("other", "db", "Pending"));
    let all = fake.json(Method::GET, "/api/v1/pods").await;
    assert_eq!((&all["kind"], all["items"].as_array().map(Vec::len)), (&json!("PodList"), Some(2)));
    assert_eq!(all["items"][0]["kind"], "Pod");
    let some = fake.json(Method::GET, "/api/v1/namespaces/other/pods").await;
    assert_eq!(some["items"][0]["metadata"]["name"], "db");
    let one = fake.json(Method::GET, "/api/v1/namespaces/default/pods/web").await;
    assert_eq!(one["status"]["phase"], "Running");
}

#[tokio::test]
async fn says_what_is_missing() {
    let fake = Fake::start().await;
    let (status, text) = fake.text(Method::GET, "/api/v1/namespaces/default/pods/web").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let problem: serde_json::Value = serde_json::from_str(&text).expect("a Status");
    assert_eq!((&problem["kind"], &problem["reason"]), (&json!("Status"), &json!("NotFound")));
    assert_eq!(problem["message"], "pod default/web not found");
    assert_eq!(fake.text(Method::GET, "/nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_watch_gives_the_state_and_then_every_change_in_order() {
    let fake = Fake::start().await;
    fake.apply(pod("default", "web", "Pending"));
    fake.apply(pod("other", "db", "Pending"));
    let mut watch = fake.stream("/api/v1/namespaces/default/pods?watch=1").await;
    assert_eq!(watch.value().await["type"], "ADDED");
    assert_eq!(watch.value().await["type"], "BOOKMARK");
    fake.apply(pod("other", "db", "Running"));
    fake.apply(pod("default", "web", "Running"));
    fake.apply(pod("default", "new", "Pending"));
    fake.handles.pods.remove("default-web");
    let mut told = Vec::new();
    for _ in 0..3 {
        let change = watch.value().await;
        told.push(format!("{} {}", change["type"], change["object"]["metadata"]["name"]));
    }
    assert_eq!(told, [r#""MODIFIED" "web""#, r#""ADDED" "new""#, r#""DELETED" "web""#]);
    fake.stop();
    assert_eq!(watch.line().await, None);
}

#[tokio::test]
async fn a_reader_that_lags_is_brought_up_to_date() {
    let fake = Fake::start().await;
    fake.apply(pod("default", "gone", "Running"));
    let mut watch = fake.stream("/api/v1/pods?watch=1").await;
    assert_eq!(watch.value().await["object"]["metadata"]["name"], "gone");
    assert_eq!(watch.value().await["type"], "BOOKMARK");
    // More than the store keeps for a slow follower, without a moment for it to run.
    for round in 0..5000 {
        let mut busy = pod("default", "busy", "Running");
        busy["status"]["message"] = json!(round.to_string());
        fake.apply(busy);
    }
    fake.handles.pods.remove("default-gone");
    let mut gone = false;
    loop {
        let change = watch.value().await;
        gone |= change["type"] == "DELETED" && change["object"]["metadata"]["name"] == "gone";
        if change["object"]["status"]["message"] == "4999" && gone {
            break;
        }
        if gone && change["object"]["metadata"]["name"] == "busy" {
            assert_eq!(change["object"]["status"]["message"], "4999");
            break;
        }
    }
}

#[tokio::test]
async fn events_are_listed_and_followed() {
    let fake = Fake::start().await;
    let web = serde_json::from_value(pod("default", "web", "Running")).expect("a pod");
    let record = |what: &str| {
        fake.handles.events.pod(&web, None, EventType::Normal, "Started", what.to_owned());
    };
    record("one");
    let list = fake.json(Method::GET, "/api/v1/namespaces/default/events").await;
    assert_eq!((&list["kind"], &list["items"][0]["message"]), (&json!("EventList"), &json!("one")));
    assert_eq!(fake.json(Method::GET, "/api/v1/namespaces/x/events").await["items"], json!([]));
    let mut watch = fake.stream("/api/v1/events?watch=true").await;
    assert_eq!(watch.value().await["object"]["message"], "one");
    assert_eq!(watch.value().await["type"], "BOOKMARK");
    record("two");
    record("two");
    assert_eq!(watch.value().await["type"], "ADDED");
    let again = watch.value().await;
    assert_eq!((&again["type"], &again["object"]["count"]), (&json!("MODIFIED"), &json!(2)));
}

#[tokio::test]
async fn health_version_and_metrics() {
    let fake = Fake::start().await;
    assert_eq!(fake.text(Method::GET, "/healthz").await, (StatusCode::OK, "ok\n".into()));
    fake.fails("Status", tonic::Status::unavailable("no runtime"));
    let (status, text) = fake.text(Method::GET, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("no runtime"), "{text}");
    fake.answers("Status", cri::StatusResponse::default());
    assert_eq!(fake.text(Method::GET, "/readyz").await.0, StatusCode::OK);
    let answer = cri::VersionResponse { runtime_name: "fake".into(), ..Default::default() };
    fake.answers("Version", answer);
    assert_eq!(fake.json(Method::GET, "/version").await["runtime"]["name"], "fake");
    let mut web = pod("default", "web", "Running");
    web["status"]["containerStatuses"] = json!([{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    fake.apply(web);
    let (_, metrics) = fake.text(Method::GET, "/metrics").await;
    for line in [r#"reeve_pods{state="Running"} 1"#, r#"reeve_containers{state="waiting"} 1"#] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(fake.json(Method::GET, "/sources").await, json!({"items": []}));
}

#[tokio::test]
async fn the_socket_is_private_and_not_taken_from_a_living_agent() {
    let fake = Fake::start().await;
    assert_eq!(fake.socket_mode(), 0o600);
    let second = api::serve(fake.handles.clone(), CancellationToken::new()).await;
    let error = second.expect_err("in use").to_string();
    assert!(error.contains("already running"), "{error}");
    assert_eq!(fake.text(Method::GET, "/healthz").await.0, StatusCode::OK);
}
