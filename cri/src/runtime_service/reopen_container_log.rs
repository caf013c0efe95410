use reeve_proto::cri::{ReopenContainerLogRequest, ReopenContainerLogResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;

pub(super) async fn call(
    service: &RuntimeService,
    request: ReopenContainerLogRequest,
) -> Result<ReopenContainerLogResponse, Status> {
    let container = service.container(&request.container_id)?;
    service.engine.reopen_log(&container.id).await.map_err(status::of_engine)?;
    Ok(ReopenContainerLogResponse {})
}
