use reeve_proto::cri::{StopPodSandboxRequest, StopPodSandboxResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: StopPodSandboxRequest,
) -> Result<StopPodSandboxResponse, Status> {
    let Some(sandbox) = service.sandbox_if_any(&request.pod_sandbox_id)? else {
        return Ok(StopPodSandboxResponse {});
    };
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.stop_sandbox(&sandbox.id).await.map_err(status::of_engine)?;
        Ok(StopPodSandboxResponse {})
    })
    .await
}
