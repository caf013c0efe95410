use reeve_proto::cri::{VersionRequest, VersionResponse};
use tonic::Status;

use super::RuntimeService;

/// The version of the kubelet's side of the API has been this one for all of `runtime.v1`.
const KUBELET_API: &str = "0.1.0";

pub(super) async fn call(
    service: &RuntimeService,
    request: VersionRequest,
) -> Result<VersionResponse, Status> {
    // What the client calls its version is of no consequence: there is one service, and it is `runtime.v1`.
    tracing::trace!(client = request.version, "a client asks for the version");
    Ok(VersionResponse {
        version: KUBELET_API.to_owned(),
        runtime_name: "reeve".to_owned(),
        runtime_version: service.config.version.clone(),
        runtime_api_version: "v1".to_owned(),
    })
}
