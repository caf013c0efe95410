use reeve_proto::cri::{UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::resources;

/// The kubelet has changed the pod's cgroup itself before it calls, and nothing of the pod lives outside its
/// containers' cgroups here: what is left is to say whether the request makes sense.
pub(super) async fn call(
    service: &RuntimeService,
    request: UpdatePodSandboxResourcesRequest,
) -> Result<UpdatePodSandboxResourcesResponse, Status> {
    service.sandbox(&request.pod_sandbox_id)?;
    for (name, asked) in [("overhead", &request.overhead), ("resources", &request.resources)] {
        if let Some(asked) = asked {
            resources::to_engine(name, asked)?;
        }
    }
    Ok(UpdatePodSandboxResourcesResponse {})
}
