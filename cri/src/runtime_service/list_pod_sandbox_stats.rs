use reeve_engine::{Sandbox, SandboxState};
use reeve_proto::cri::{
    ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStats, PodSandboxStatsFilter,
};
use tonic::Status;

use super::RuntimeService;
use crate::clock;
use crate::convert::{filter, stats};

pub(super) async fn call(
    service: &RuntimeService,
    request: ListPodSandboxStatsRequest,
) -> Result<ListPodSandboxStatsResponse, Status> {
    Ok(ListPodSandboxStatsResponse { stats: fitting(service, request.filter.as_ref()).await? })
}

/// The counters of the ready sandboxes that are asked for.
pub(super) async fn fitting(
    service: &RuntimeService,
    wanted: Option<&PodSandboxStatsFilter>,
) -> Result<Vec<PodSandboxStats>, Status> {
    let mut sandboxes = service.engine.sandboxes();
    sandboxes.retain(|sandbox| {
        sandbox.state == SandboxState::Ready && filter::fits_sandbox_stats(wanted, sandbox)
    });
    of(service, sandboxes).await
}

/// The counters of `sandboxes`.
pub(super) async fn of(
    service: &RuntimeService,
    sandboxes: Vec<Sandbox>,
) -> Result<Vec<PodSandboxStats>, Status> {
    let mountpoint = service.mountpoint();
    let samples = service.sandbox_samples(sandboxes).await?;
    let timestamp = clock::now();
    Ok(samples
        .iter()
        .map(|one| {
            stats::sandbox(&one.sandbox, &one.containers, one.interfaces.as_deref(), timestamp, &mountpoint)
        })
        .collect())
}
