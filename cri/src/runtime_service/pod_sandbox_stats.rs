use reeve_proto::cri::{PodSandboxStatsRequest, PodSandboxStatsResponse};
use tonic::Status;

use super::{RuntimeService, list_pod_sandbox_stats};

pub(super) async fn call(
    service: &RuntimeService,
    request: PodSandboxStatsRequest,
) -> Result<PodSandboxStatsResponse, Status> {
    let sandbox = service.sandbox(&request.pod_sandbox_id)?;
    let stats = list_pod_sandbox_stats::of(service, vec![sandbox]).await?;
    Ok(PodSandboxStatsResponse { stats: stats.into_iter().next() })
}
