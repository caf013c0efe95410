use reeve_proto::cri::{StreamContainersRequest, StreamContainersResponse};
use tonic::Status;

use super::{RuntimeService, list_containers};
use crate::convert::container_status;
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    request: StreamContainersRequest,
) -> Result<Stream<StreamContainersResponse>, Status> {
    let containers = list_containers::fitting(service, request.filter.as_ref());
    Ok(batches(containers, |batch| StreamContainersResponse {
        containers: batch.iter().map(container_status::to_cri).collect(),
    }))
}
