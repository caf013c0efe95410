use reeve_engine::Sandbox;
use reeve_proto::cri::{ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter};
use tonic::Status;

use super::RuntimeService;
use crate::convert::{filter, sandbox_status};

pub(super) async fn call(
    service: &RuntimeService,
    request: ListPodSandboxRequest,
) -> Result<ListPodSandboxResponse, Status> {
    let sandboxes = fitting(service, request.filter.as_ref());
    Ok(ListPodSandboxResponse { items: sandboxes.iter().map(sandbox_status::to_cri).collect() })
}

/// The sandboxes that are asked for.
pub(super) fn fitting(service: &RuntimeService, wanted: Option<&PodSandboxFilter>) -> Vec<Sandbox> {
    let mut sandboxes = service.engine.sandboxes();
    sandboxes.retain(|sandbox| filter::fits_sandbox(wanted, sandbox));
    sandboxes
}
