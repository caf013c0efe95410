use reeve_proto::cri::{UpdateContainerResourcesRequest, UpdateContainerResourcesResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::fault::Fault;
use crate::convert::resources;
use crate::status;
use crate::uninterrupted::uninterrupted;

pub(super) async fn call(
    service: &RuntimeService,
    request: UpdateContainerResourcesRequest,
) -> Result<UpdateContainerResourcesResponse, Status> {
    if request.windows.is_some() {
        return Err(Fault::unsupported("windows", "this runtime runs Linux containers").into());
    }
    let container = service.container(&request.container_id)?;
    if !request.annotations.is_empty() {
        let keys = request.annotations.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::warn!(container = container.id, keys, "annotations of an update of limits have no effect");
    }
    let Some(linux) = &request.linux else {
        return Ok(UpdateContainerResourcesResponse {});
    };
    let limits = resources::to_engine("linux", linux)?;
    let engine = service.engine.clone();
    uninterrupted(async move {
        engine.update_container(&container.id, limits).await.map_err(status::of_engine)?;
        Ok(UpdateContainerResourcesResponse {})
    })
    .await
}
