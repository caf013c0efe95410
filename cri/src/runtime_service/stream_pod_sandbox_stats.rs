use reeve_proto::cri::{StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse};
use tonic::Status;

use super::{RuntimeService, list_pod_sandbox_stats};
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    request: StreamPodSandboxStatsRequest,
) -> Result<Stream<StreamPodSandboxStatsResponse>, Status> {
    let stats = list_pod_sandbox_stats::fitting(service, request.filter.as_ref()).await?;
    Ok(batches(stats, |pod_sandbox_stats| StreamPodSandboxStatsResponse { pod_sandbox_stats }))
}
