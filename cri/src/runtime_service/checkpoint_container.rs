use reeve_proto::cri::{CheckpointContainerRequest, CheckpointContainerResponse};
use tonic::Status;

use super::RuntimeService;

pub(super) async fn call(
    _service: &RuntimeService,
    _request: CheckpointContainerRequest,
) -> Result<CheckpointContainerResponse, Status> {
    Err(Status::unimplemented("CheckpointContainer is not supported: this runtime does not drive CRIU"))
}
