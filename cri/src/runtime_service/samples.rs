//! Counters of running containers beside the containers they belong to.

use std::collections::HashMap;

use futures::future::join_all;
use reeve_engine::{Container, ContainerState, ContainerStats, InterfaceStats, Sandbox};
use tonic::Status;

use super::RuntimeService;
use crate::status;

/// A container and its counters.
pub(super) type Sample = (Container, ContainerStats);

impl RuntimeService {
    /// The counters of those of `containers` that run. One that ends meanwhile is left out.
    pub(super) async fn samples(&self, mut containers: Vec<Container>) -> Result<Vec<Sample>, Status> {
        containers.retain(|container| container.state == ContainerState::Running);
        if containers.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = containers.iter().map(|container| container.id.clone()).collect();
        let stats = self.engine.container_stats(Some(&ids)).await.map_err(status::of_engine)?;
        let mut by_id: HashMap<String, ContainerStats> =
            stats.into_iter().map(|stats| (stats.id.clone(), stats)).collect();
        Ok(containers.into_iter().filter_map(|one| by_id.remove(&one.id).map(|stats| (one, stats))).collect())
    }

    /// Each of `sandboxes` with the samples of its containers and the counters of its interfaces.
    pub(super) async fn sandbox_samples(
        &self,
        sandboxes: Vec<Sandbox>,
    ) -> Result<Vec<SandboxSample>, Status> {
        let mut by_sandbox: HashMap<String, Vec<Sample>> = HashMap::new();
        let wanted: Vec<Container> = match sandboxes.as_slice() {
            [only] => self.containers_of(&only.id),
            _ => self.engine.containers(),
        };
        for sample in self.samples(wanted).await? {
            by_sandbox.entry(sample.0.sandbox_id.clone()).or_default().push(sample);
        }
        let interfaces = join_all(sandboxes.iter().map(|sandbox| self.interfaces(sandbox))).await;
        Ok(sandboxes
            .into_iter()
            .zip(interfaces)
            .map(|(sandbox, interfaces)| SandboxSample {
                containers: by_sandbox.remove(&sandbox.id).unwrap_or_default(),
                sandbox,
                interfaces,
            })
            .collect())
    }

    /// Nothing for a sandbox on the host's network, where the counters would be the host's, or for one that is
    /// going away.
    async fn interfaces(&self, sandbox: &Sandbox) -> Option<Vec<InterfaceStats>> {
        if sandbox.spec.host_network {
            return None;
        }
        match self.engine.sandbox_network_stats(&sandbox.id).await {
            Ok(interfaces) => Some(interfaces),
            Err(error) => {
                tracing::debug!(sandbox = sandbox.id, error = status::chain(&error), "no network counters");
                None
            }
        }
    }
}

/// A sandbox and all counters of it.
pub(super) struct SandboxSample {
    pub(super) sandbox: Sandbox,
    pub(super) containers: Vec<Sample>,
    pub(super) interfaces: Option<Vec<InterfaceStats>>,
}
