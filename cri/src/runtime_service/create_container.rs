use reeve_proto::cri::{CreateContainerRequest, CreateContainerResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert;
use crate::convert::fault::Fault;
use crate::status;
use crate::uninterrupted::uninterrupted;

/// `sandbox_config` repeats what RunPodSandbox was told, which the engine has kept: it is not looked at.
pub(super) async fn call(
    service: &RuntimeService,
    request: CreateContainerRequest,
) -> Result<CreateContainerResponse, Status> {
    let sandbox = service.sandbox(&request.pod_sandbox_id)?;
    let config = request.config.as_ref().ok_or_else(|| Fault::missing("config"))?;
    let spec = convert::container::to_engine(config, &sandbox.spec)?;
    let engine = service.engine.clone();
    uninterrupted(async move {
        let container_id = engine.create_container(&sandbox.id, spec).await.map_err(status::of_engine)?;
        Ok(CreateContainerResponse { container_id })
    })
    .await
}
