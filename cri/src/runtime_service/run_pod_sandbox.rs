use reeve_proto::cri::{RunPodSandboxRequest, RunPodSandboxResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert;
use crate::convert::fault::Fault;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: RunPodSandboxRequest,
) -> Result<RunPodSandboxResponse, Status> {
    let config = request.config.as_ref().ok_or_else(|| Fault::missing("config"))?;
    let spec = convert::sandbox::to_engine(config, &request.runtime_handler)?;
    let engine = service.engine.clone();
    uninterrupted(async move {
        let pod_sandbox_id = engine.run_sandbox(spec).await.map_err(status::of_engine)?;
        Ok(RunPodSandboxResponse { pod_sandbox_id })
    })
    .await
}
