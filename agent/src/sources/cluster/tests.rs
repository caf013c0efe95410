//! The tasks against an API server in memory: what they ask for, and what they do when it is away.

mod server;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::server::Server;
use crate::clock::Clock;
use crate::config::Config;
use crate::cri::Cri;
use crate::sources::Message;
use crate::{Handles, sources};

/// A followed cluster.
struct Followed {
    server: Server,
    handles: Handles,
    messages: mpsc::UnboundedReceiver<Message>,
    _stop: tokio_util::sync::DropGuard,
}

impl Followed {
    fn start(server: Server) -> Followed {
        let dir = std::path::Path::new("/nonexistent");
        let mut config = Config::new(dir, dir, dir);
        config.node_name = "node-1".into();
        let handles = Handles::over(config, Cri::connect(dir), Clock::system());
        let (sender, messages) = mpsc::unbounded_channel();
        let mailbox = handles.sources.mailbox("cluster", handles.clock, sender);
        let stop = CancellationToken::new();
        let follow = sources::cluster::follow(server.client(), handles.clone(), mailbox, stop.clone());
        tokio::spawn(follow);
        Followed { server, handles, messages, _stop: stop.drop_guard() }
    }

    /// Names of the pods in the next complete scan.
    async fn scan(&mut self) -> Vec<String> {
        match self.messages.recv().await.expect("a message") {
            Message::Complete { pods, .. } => pods.iter().map(|pod| pod.key().name).collect(),
            Message::Change { change, .. } => panic!("expected a scan, got {change:?}"),
        }
    }

    /// The next change: name, and whether the pod is desired and deleted.
    async fn change(&mut self) -> (String, bool, bool) {
        match self.messages.recv().await.expect("a message") {
            Message::Change { change, .. } => {
                let deleted = change.pod.as_ref().is_some_and(|pod| pod.is_deleted());
                (change.key.name, change.pod.is_some(), deleted)
            }
            Message::Complete { .. } => panic!("expected a change, got a scan"),
        }
    }

    /// Sets what is so of a pod here.
    fn apply(&self, mut pod: Value, phase: &str) {
        pod["status"] = json!({"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]});
        self.handles.pods.apply(serde_json::from_value::<Pod>(pod).expect("a pod"));
    }
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "generation": 1,
                     "resourceVersion": "1"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "a"}]}, "status": {"phase": "Pending"},
    })
}

fn deleted(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    pod
}

#[tokio::test]
async fn registers_the_node_and_its_lease() {
    let cluster = Followed::start(Server::default());
    let node = cluster.server.request("POST /api/v1/nodes").await;
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
    let status = cluster.server.request("PATCH /api/v1/nodes/node-1/status").await;
    assert_eq!(status["status"]["capacity"]["pods"], "110");
    let ready = status["status"]["conditions"].as_array().expect("conditions").last().expect("Ready");
    assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("False")), "no runtime answers");
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let lease = cluster.server.request(&format!("POST {leases}")).await;
    assert_eq!(lease["spec"]["holderIdentity"], "node-1");
}

#[tokio::test]
async fn bound_pods_are_desired_and_mirrors_are_not() {
    let mut mirror = pod("mirror");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    let mut ended = pod("ended");
    ended["status"]["phase"] = json!("Succeeded");
    let mut cluster = Followed::start(Server::with(vec![pod("web"), mirror, ended]));
    assert_eq!(cluster.scan().await, ["web"]);
    cluster.server.tell("ADDED", pod("new"));
    assert_eq!(cluster.change().await, ("new".into(), true, false));
    cluster.server.tell("MODIFIED", deleted(pod("new")));
    assert_eq!(cluster.change().await, ("new".into(), true, true));
    cluster.server.tell("DELETED", pod("new"));
    assert_eq!(cluster.change().await, ("new".into(), false, false));
}

#[tokio::test]
async fn status_is_written_once_and_a_deleted_pod_is_deleted_at_the_end() {
    let mut cluster = Followed::start(Server::with(vec![pod("web")]));
    cluster.scan().await;
    cluster.apply(pod("web"), "Running");
    let path = "/api/v1/namespaces/default/pods/web";
    let patch = cluster.server.request(&format!("PATCH {path}/status")).await;
    assert_eq!(patch["metadata"]["uid"], "uid-web");
    assert_eq!(
        (&patch["status"]["phase"], &patch["status"]["observedGeneration"]),
        (&json!("Running"), &json!(1))
    );
    cluster.server.tell("MODIFIED", deleted(pod("web")));
    assert_eq!(cluster.change().await, ("web".into(), true, true));
    cluster.apply(deleted(pod("web")), "Succeeded");
    cluster.handles.pods.remove("uid-web");
    let options = cluster.server.request(&format!("DELETE {path}")).await;
    assert_eq!(
        (&options["gracePeriodSeconds"], &options["preconditions"]["uid"]),
        (&json!(0), &json!("uid-web"))
    );
}

#[tokio::test]
async fn a_pod_that_ends_because_the_agent_leaves_stays_the_clusters() {
    let mut cluster = Followed::start(Server::with(vec![pod("web")]));
    cluster.scan().await;
    cluster.apply(pod("web"), "Running");
    cluster.server.request("PATCH /api/v1/namespaces/default/pods/web/status").await;
    cluster.handles.pods.remove("uid-web");
    cluster.apply(pod("other"), "Running");
    cluster.server.tell("ADDED", pod("other"));
    cluster.server.request("PATCH /api/v1/namespaces/default/pods/other/status").await;
    assert!(!cluster.server.saw("DELETE /api/v1/namespaces/default/pods/web"));
}

#[tokio::test]
async fn a_deleted_pod_that_ended_before_is_deleted_at_once() {
    let mut ended = deleted(pod("old"));
    ended["status"]["phase"] = json!("Failed");
    let mut cluster = Followed::start(Server::with(vec![ended]));
    assert!(cluster.scan().await.is_empty());
    cluster.server.request("DELETE /api/v1/namespaces/default/pods/old").await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_written_later_as_it_is_then() {
    let mut cluster = Followed::start(Server::with(vec![pod("web")]));
    cluster.scan().await;
    cluster.server.away(true);
    cluster.apply(pod("web"), "Pending");
    cluster.server.refused("PATCH /api/v1/namespaces/default/pods/web/status").await;
    cluster.apply(pod("web"), "Running");
    cluster.server.away(false);
    let patch = cluster.server.request("PATCH /api/v1/namespaces/default/pods/web/status").await;
    assert_eq!(patch["status"]["phase"], "Running");
}

#[tokio::test]
async fn static_pods_have_mirrors() {
    let mut cluster = Followed::start(Server::default());
    cluster.scan().await;
    let mut own = pod("own");
    own["metadata"]["resourceVersion"] = Value::Null;
    cluster.apply(own, "Running");
    let mirror = cluster.server.request("POST /api/v1/namespaces/default/pods").await;
    assert_eq!(mirror["metadata"]["name"], "own-node-1");
    assert_eq!(mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"], "uid-own");
    assert_eq!(mirror["metadata"]["ownerReferences"][0]["kind"], "Node");
    let mut made = mirror.clone();
    made["metadata"]["uid"] = json!("uid-mirror");
    made["metadata"]["resourceVersion"] = json!("2");
    cluster.server.tell("ADDED", made);
    cluster.server.request("PATCH /api/v1/namespaces/default/pods/own-node-1/status").await;
    cluster.handles.pods.remove("uid-own");
    cluster.server.request("DELETE /api/v1/namespaces/default/pods/own-node-1").await;
}
