use reeve_proto::cri::{CheckpointPodRequest, CheckpointPodResponse};
use tonic::Status;

use super::RuntimeService;

pub(super) async fn call(
    _service: &RuntimeService,
    _request: CheckpointPodRequest,
) -> Result<CheckpointPodResponse, Status> {
    Err(Status::unimplemented("CheckpointPod is not supported: this runtime does not drive CRIU"))
}
