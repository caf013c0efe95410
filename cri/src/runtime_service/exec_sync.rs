use std::time::Duration;

use reeve_proto::cri::{ExecSyncRequest, ExecSyncResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::fault::Fault;
use crate::status;

/// A command that outlasts its time is killed and answered with `DEADLINE_EXCEEDED`, by which the kubelet
/// tells a probe that timed out from one that failed.
pub(super) async fn call(
    service: &RuntimeService,
    request: ExecSyncRequest,
) -> Result<ExecSyncResponse, Status> {
    if request.cmd.is_empty() {
        return Err(Fault::missing("cmd").into());
    }
    let container = service.container(&request.container_id)?;
    let timeout = match u64::try_from(request.timeout) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => return Err(Fault::invalid("timeout", format!("{} is negative", request.timeout)).into()),
    };
    let output =
        service.engine.exec_sync(&container.id, request.cmd, timeout).await.map_err(status::of_engine)?;
    Ok(ExecSyncResponse { stdout: output.stdout, stderr: output.stderr, exit_code: output.exit_code })
}
