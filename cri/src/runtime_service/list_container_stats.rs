use reeve_proto::cri::{
    ContainerStats, ContainerStatsFilter, ListContainerStatsRequest, ListContainerStatsResponse,
};
use tonic::Status;

use super::RuntimeService;
use crate::convert::{filter, stats};

pub(super) async fn call(
    service: &RuntimeService,
    request: ListContainerStatsRequest,
) -> Result<ListContainerStatsResponse, Status> {
    Ok(ListContainerStatsResponse { stats: fitting(service, request.filter.as_ref()).await? })
}

/// The counters of the running containers that are asked for.
pub(super) async fn fitting(
    service: &RuntimeService,
    wanted: Option<&ContainerStatsFilter>,
) -> Result<Vec<ContainerStats>, Status> {
    let mut containers = service.engine.containers();
    containers.retain(|container| filter::fits_container_stats(wanted, container));
    let mountpoint = service.mountpoint();
    let samples = service.samples(containers).await?;
    Ok(samples.iter().map(|(container, sample)| stats::container(container, sample, &mountpoint)).collect())
}
