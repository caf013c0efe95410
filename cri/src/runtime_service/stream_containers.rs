use reeve_proto::cri::{StreamContainersRequest, StreamContainersResponse};
use tonic::Status;

use super::{RuntimeService, list_containers};
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    request: StreamContainersRequest,
) -> Result<Stream<StreamContainersResponse>, Status> {
    let containers = list_containers::fitting(service, request.filter.as_ref());
    let listed = containers.iter().map(|container| service.listed(container)).collect();
    Ok(batches(listed, |containers| StreamContainersResponse { containers }))
}
