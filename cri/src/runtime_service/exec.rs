use reeve_engine::ExecSpec;
use reeve_proto::cri::{ExecRequest, ExecResponse};
use tonic::Status;

use super::RuntimeService;
use super::attach::check_streams;
use crate::convert::fault::Fault;
use crate::streaming::Prepared;

pub(super) async fn call(service: &RuntimeService, request: ExecRequest) -> Result<ExecResponse, Status> {
    if request.cmd.is_empty() {
        return Err(Fault::missing("cmd").into());
    }
    check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
    let container = service.running(&request.container_id)?;
    let spec = ExecSpec {
        cmd: request.cmd,
        tty: request.tty,
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
    };
    let url = service.streaming.prepare(Prepared::Exec { container: container.id, spec })?;
    Ok(ExecResponse { url })
}
