use reeve_proto::cri::{StreamContainerStatsRequest, StreamContainerStatsResponse};
use tonic::Status;

use super::{RuntimeService, list_container_stats};
use crate::stream::{Stream, batches};

pub(super) async fn call(
    service: &RuntimeService,
    request: StreamContainerStatsRequest,
) -> Result<Stream<StreamContainerStatsResponse>, Status> {
    let stats = list_container_stats::fitting(service, request.filter.as_ref()).await?;
    Ok(batches(stats, |container_stats| StreamContainerStatsResponse { container_stats }))
}
