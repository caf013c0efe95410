use reeve_proto::cri::{ContainerStatsRequest, ContainerStatsResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::stats;

pub(super) async fn call(
    service: &RuntimeService,
    request: ContainerStatsRequest,
) -> Result<ContainerStatsResponse, Status> {
    let container = service.container(&request.container_id)?;
    let samples = service.samples(vec![container.clone()]).await?;
    let stats = match samples.first() {
        Some((container, sample)) => stats::container(container, sample, &service.mountpoint()),
        None => stats::idle_container(&container),
    };
    Ok(ContainerStatsResponse { stats: Some(stats) })
}
