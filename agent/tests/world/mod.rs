//! An agent, a simulated runtime and a virtual clock.
#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use reeve_agent::clock::Clock;
use reeve_agent::pod::DesiredPod;
use reeve_agent::sources::Mailbox;
use reeve_agent::{Config, Handles, Reconciler};
use reeve_manifests::load_file;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::simulated::Sim;

pub struct World {
    pub sim: Sim,
    pub root: TempDir,
    pub handles: Handles,
    pub mailbox: Mailbox,
    pub shutdown: CancellationToken,
    agent: JoinHandle<()>,
}

pub fn start_time() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

impl World {
    pub fn new(seed: u64) -> World {
        let sim = Sim::new(seed, Clock::following_tokio(start_time()));
        let root = tempfile::tempdir().unwrap();
        let (handles, mailbox, shutdown, agent) = start_agent(&sim, root.path(), false);
        World { sim, root, handles, mailbox, shutdown, agent }
    }

    /// `kill -9`, and a new agent on the same disk and runtime.
    pub async fn restart_agent(&mut self) {
        self.agent.abort();
        let _ = (&mut self.agent).await;
        let (handles, mailbox, shutdown, agent) = start_agent(&self.sim, self.root.path(), false);
        self.handles = handles;
        self.mailbox = mailbox;
        self.shutdown = shutdown;
        self.agent = agent;
    }

    /// Ends the agent as configured.
    pub async fn stop_agent(&mut self) {
        self.shutdown.cancel();
        let _ = (&mut self.agent).await;
    }

    /// Declares these pods and no others.
    pub fn declare(&self, manifests: &[String]) {
        let pods = manifests.iter().map(|text| Arc::new(self.desired(text))).collect();
        self.mailbox.complete(pods);
    }

    pub fn desired(&self, text: &str) -> DesiredPod {
        let loaded = load_file("test", Path::new("test.yaml"), text);
        let mut pods = loaded.unwrap_or_else(|errors| panic!("{}", errors[0])).pods;
        DesiredPod { source: self.mailbox.name(), pod: Arc::new(pods.remove(0).pod), origin: String::new() }
    }

    pub async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    pub fn pod(&self, name: &str) -> Option<Arc<Pod>> {
        self.handles.pods.get("default", name)
    }

    pub fn container(&self, pod: &str, container: &str) -> ContainerStatus {
        let pod = self.pod(pod).unwrap();
        let status = pod.status.clone().unwrap();
        let mut all = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
        all.find(|c| c.name == container).unwrap()
    }

    pub fn phase(&self, pod: &str) -> String {
        self.pod(pod).and_then(|p| p.status.clone()).and_then(|s| s.phase).unwrap_or_default()
    }

    pub fn is_ready(&self, pod: &str) -> bool {
        let conditions =
            self.pod(pod).and_then(|p| p.status.clone()).and_then(|s| s.conditions).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    }

    pub fn reasons(&self) -> Vec<String> {
        self.handles.events.list().iter().filter_map(|e| e.reason.clone()).collect()
    }

    pub fn assert_no_violation(&self) {
        let violations = &self.sim.lock().violations;
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn start_agent(sim: &Sim, root: &Path, keep: bool) -> (Handles, Mailbox, CancellationToken, JoinHandle<()>) {
    let mut config = Config::new(&root.join("root"), &root.join("state"), Path::new("/nowhere"));
    config.log_root = root.join("logs");
    config.node_ip = Some("192.0.2.1".parse().unwrap());
    config.cgroup_parent = String::new();
    config.keep = keep;
    let handles = Handles::over(config, sim.cri(), sim.clock);
    let reconciler = Reconciler::new(handles.clone()).unwrap();
    let mailbox = reconciler.mailbox("test");
    let shutdown = CancellationToken::new();
    let agent = tokio::spawn(reconciler.run(shutdown.clone()));
    (handles, mailbox, shutdown, agent)
}

/// A pod with one container per image, and `more` in its spec.
pub fn pod(name: &str, images: &[&str], more: &str) -> String {
    let containers: String = images
        .iter()
        .enumerate()
        .map(|(n, image)| format!("  - {{name: main-{n}, image: {image}}}\n"))
        .collect();
    let more: String = more.lines().map(|line| format!("  {line}\n")).collect();
    let inits = more.matches("name: init-").count();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{test/inits: \"{inits}\"}}}}\n\
         spec:\n  containers:\n{containers}{more}"
    )
}
