use reeve_engine::{AttachSpec, Container, ContainerState};
use reeve_proto::cri::{AttachRequest, AttachResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::fault::Fault;
use crate::streaming::Prepared;

pub(super) async fn call(service: &RuntimeService, request: AttachRequest) -> Result<AttachResponse, Status> {
    check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
    let container = service.running(&request.container_id)?;
    if request.tty != container.spec.tty {
        let problem = format!("is {}, but that of the container is {}", request.tty, container.spec.tty);
        return Err(Fault::invalid("tty", problem).into());
    }
    if request.stdin && !container.spec.stdin {
        return Err(Fault::invalid("stdin", "the container was made without stdin").into());
    }
    let spec = AttachSpec { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
    let url = service.streaming.prepare(Prepared::Attach { container: container.id, spec })?;
    Ok(AttachResponse { url })
}

/// A terminal has one stream of output.
pub(super) fn check_streams(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> Result<(), Fault> {
    if tty && stderr {
        return Err(Fault::invalid("stderr", "cannot be had apart from stdout on a terminal"));
    }
    if !(stdin || stdout || stderr) {
        return Err(Fault::invalid("stdin, stdout, stderr", "at least one is required"));
    }
    Ok(())
}

impl RuntimeService {
    /// A container that a client can talk to.
    pub(super) fn running(&self, id: &str) -> Result<Container, Status> {
        let container = self.container(id)?;
        if container.state == ContainerState::Running {
            Ok(container)
        } else {
            Err(Status::failed_precondition(format!("container {} is not running", container.id)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_must_make_sense() {
        assert!(check_streams(true, true, true, true).is_err());
        assert!(check_streams(false, false, false, false).is_err());
        assert!(check_streams(true, true, true, false).is_ok());
        assert!(check_streams(false, false, true, true).is_ok());
    }
}
