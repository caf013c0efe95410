use reeve_engine::SandboxState;
use reeve_proto::cri::{PortForwardRequest, PortForwardResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::fault::Fault;
use crate::streaming::Prepared;

pub(super) async fn call(
    service: &RuntimeService,
    request: PortForwardRequest,
) -> Result<PortForwardResponse, Status> {
    let sandbox = service.sandbox(&request.pod_sandbox_id)?;
    if sandbox.state != SandboxState::Ready {
        return Err(Status::failed_precondition(format!("sandbox {} is not ready", sandbox.id)));
    }
    let ports = request.port.iter().map(|port| match u16::try_from(*port) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Fault::invalid("port", format!("{port} is not a port"))),
    });
    let ports = ports.collect::<Result<Vec<u16>, Fault>>()?;
    let url = service.streaming.prepare(Prepared::PortForward { sandbox: sandbox.id, ports })?;
    Ok(PortForwardResponse { url })
}
