use reeve_proto::cri::{UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse};
use tonic::Status;

use super::RuntimeService;

/// The kubelet tells the pod CIDR that the cluster gave its node. The subnet of pods is a setting of this
/// runtime, and changing it under running pods would cut them off, so it is only said where they differ.
pub(super) async fn call(
    _service: &RuntimeService,
    request: UpdateRuntimeConfigRequest,
) -> Result<UpdateRuntimeConfigResponse, Status> {
    let network = request.runtime_config.and_then(|config| config.network_config).unwrap_or_default();
    if !network.pod_cidr.is_empty() {
        tracing::warn!(
            pod_cidr = network.pod_cidr,
            "runtime_config.network_config.pod_cidr is not applied: the subnet of pods is set with --subnet"
        );
    }
    Ok(UpdateRuntimeConfigResponse {})
}
