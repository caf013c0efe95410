use std::time::Duration;

use reeve_proto::cri::{StopContainerRequest, StopContainerResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: StopContainerRequest,
) -> Result<StopContainerResponse, Status> {
    let Some(container) = service.container_if_any(&request.container_id)? else {
        return Ok(StopContainerResponse {});
    };
    // No grace, or a nonsensical one, is a forced stop.
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.stop_container(&container.id, grace).await.map_err(status::of_engine)?;
        Ok(StopContainerResponse {})
    })
    .await
}
