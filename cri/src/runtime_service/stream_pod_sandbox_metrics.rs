use reeve_proto::cri::{StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse};
use tonic::Status;

use super::{RuntimeService, list_pod_sandbox_metrics};
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    _request: StreamPodSandboxMetricsRequest,
) -> Result<Stream<StreamPodSandboxMetricsResponse>, Status> {
    let metrics = list_pod_sandbox_metrics::all(service).await?;
    Ok(batches(metrics, |pod_sandbox_metrics| StreamPodSandboxMetricsResponse { pod_sandbox_metrics }))
}
