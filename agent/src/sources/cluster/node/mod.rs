//! The Node object: registered once, then its status reported when it changes, and every five minutes.

mod conditions;
mod facts;
mod report;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeCondition};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::facts::Facts;
use super::connect::{Attempts, RequestError, request};
use crate::Handles;

/// How often the node is looked at (the kubelet's `nodeStatusUpdateFrequency`).
const LOOK: Duration = Duration::from_secs(10);

/// How often it is reported even if nothing changed (the kubelet's `nodeStatusReportFrequency`).
const REPORT: Duration = Duration::from_secs(300);

/// Registers and reports for ever.
pub(super) async fn run(client: Client, handles: Handles) {
    let mut reporter = Reporter { nodes: Api::all(client), handles, registered: false, last: None };
    let mut attempts = Attempts::new("report the node to the cluster");
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        attempts.note(reporter.look().await);
    }
}

struct Reporter {
    nodes: Api<Node>,
    handles: Handles,
    registered: bool,
    /// What was reported last, without the times of its heartbeats, and when.
    last: Option<(Value, Vec<NodeCondition>, Instant)>,
}

impl Reporter {
    async fn look(&mut self) -> Result<(), RequestError> {
        let facts = Facts::read(&self.handles).await;
        if !self.registered {
            let node = self.register(&facts).await?;
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            // A moment that has passed: the report is due.
            self.last = Some((Value::Null, conditions, Instant::now()));
            self.registered = true;
        }
        self.report(&facts).await
    }

    /// Makes the Node, or takes over the one that is there.
    async fn register(&self, facts: &Facts) -> Result<Node, RequestError> {
        let name = &self.handles.config.node_name;
        let node = report::node(name, facts);
        match request(self.nodes.create(&PostParams::default(), &node)).await {
            Ok(node) => {
                tracing::info!(node = %name, "registered with the cluster");
                Ok(node)
            }
            Err(error) if error.code() == Some(409) => {
                let patch = Patch::Merge(json!({"metadata": {"labels": node.metadata.labels}}));
                request(self.nodes.patch(name, &PatchParams::default(), &patch)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Patches the status when it changed or when it is time.
    async fn report(&mut self, facts: &Facts) -> Result<(), RequestError> {
        let now = self.handles.clock.now();
        let before = self.last.as_ref().map(|(_, conditions, _)| conditions.clone()).unwrap_or_default();
        let conditions = conditions::of(facts, &before, now);
        let status = report::status(facts);
        let essence = json!({"status": status, "conditions": conditions::essence(&conditions)});
        if let Some((last, _, at)) = &self.last
            && *last == essence
            && at.elapsed() < REPORT
        {
            return Ok(());
        }
        let patch = Patch::Strategic(report::patch(status, &conditions));
        let name = self.handles.config.node_name.clone();
        let outcome = request(self.nodes.patch_status(&name, &PatchParams::default(), &patch)).await;
        match outcome {
            Ok(_) => {
                self.last = Some((essence, conditions, Instant::now()));
                Ok(())
            }
            Err(error) => {
                // Somebody deleted it: it is registered anew next time.
                self.registered &= error.code() != Some(404);
                Err(error)
            }
        }
    }
}
