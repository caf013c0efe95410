use reeve_proto::cri::{RemoveContainerRequest, RemoveContainerResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: RemoveContainerRequest,
) -> Result<RemoveContainerResponse, Status> {
    let Some(container) = service.container_if_any(&request.container_id)? else {
        return Ok(RemoveContainerResponse {});
    };
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.remove_container(&container.id).await.map_err(status::of_engine)?;
        Ok(RemoveContainerResponse {})
    })
    .await
}
