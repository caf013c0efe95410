use reeve_proto::cri::{StreamPodSandboxesRequest, StreamPodSandboxesResponse};
use tonic::Status;

use super::{RuntimeService, list_pod_sandbox};
use crate::convert::sandbox_status;
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    request: StreamPodSandboxesRequest,
) -> Result<Stream<StreamPodSandboxesResponse>, Status> {
    let sandboxes = list_pod_sandbox::fitting(service, request.filter.as_ref());
    Ok(batches(sandboxes, |batch| StreamPodSandboxesResponse {
        pod_sandboxes: batch.iter().map(sandbox_status::to_cri).collect(),
    }))
}
