use reeve_engine::SandboxState;
use reeve_proto::cri::{ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse, PodSandboxMetrics};
use tonic::Status;

use super::RuntimeService;
use crate::convert::metric;

pub(super) async fn call(
    service: &RuntimeService,
    _request: ListPodSandboxMetricsRequest,
) -> Result<ListPodSandboxMetricsResponse, Status> {
    Ok(ListPodSandboxMetricsResponse { pod_metrics: all(service).await? })
}

/// The metrics of all ready sandboxes.
pub(super) async fn all(service: &RuntimeService) -> Result<Vec<PodSandboxMetrics>, Status> {
    let mut sandboxes = service.engine.sandboxes();
    sandboxes.retain(|sandbox| sandbox.state == SandboxState::Ready);
    let samples = service.sandbox_samples(sandboxes).await?;
    Ok(samples
        .iter()
        .map(|one| metric::of_sandbox(&one.sandbox, &one.containers, one.interfaces.as_deref()))
        .collect())
}
