use reeve_engine::Container;
use reeve_proto::cri::{ContainerFilter, ListContainersRequest, ListContainersResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::filter;

pub(super) async fn call(
    service: &RuntimeService,
    request: ListContainersRequest,
) -> Result<ListContainersResponse, Status> {
    let containers = fitting(service, request.filter.as_ref());
    Ok(ListContainersResponse {
        containers: containers.iter().map(|container| service.listed(container)).collect(),
    })
}

/// The containers that are asked for.
pub(super) fn fitting(service: &RuntimeService, wanted: Option<&ContainerFilter>) -> Vec<Container> {
    let mut containers = service.engine.containers();
    containers.retain(|container| filter::fits_container(wanted, container));
    containers
}
