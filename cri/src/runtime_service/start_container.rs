use reeve_proto::cri::{StartContainerRequest, StartContainerResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: StartContainerRequest,
) -> Result<StartContainerResponse, Status> {
    let container = service.container(&request.container_id)?;
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.start_container(&container.id).await.map_err(status::of_engine)?;
        Ok(StartContainerResponse {})
    })
    .await
}
