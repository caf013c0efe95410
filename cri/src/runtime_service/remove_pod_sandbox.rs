use reeve_proto::cri::{RemovePodSandboxRequest, RemovePodSandboxResponse};
use tonic::Status;

use super::RuntimeService;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: RemovePodSandboxRequest,
) -> Result<RemovePodSandboxResponse, Status> {
    let Some(sandbox) = service.sandbox_if_any(&request.pod_sandbox_id)? else {
        return Ok(RemovePodSandboxResponse {});
    };
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.remove_sandbox(&sandbox.id).await.map_err(status::of_engine)?;
        Ok(RemovePodSandboxResponse {})
    })
    .await
}
