use reeve_proto::cri::{RestorePodRequest, RestorePodResponse};
use tonic::Status;

use super::RuntimeService;

pub(super) async fn call(
    _service: &RuntimeService,
    _request: RestorePodRequest,
) -> Result<RestorePodResponse, Status> {
    Err(Status::unimplemented("RestorePod is not supported: this runtime does not drive CRIU"))
}
