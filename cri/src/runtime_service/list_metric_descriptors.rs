use reeve_proto::cri::{ListMetricDescriptorsRequest, ListMetricDescriptorsResponse};
use tonic::Status;

use super::RuntimeService;
use crate::convert::metric;

pub(super) async fn call(
    _service: &RuntimeService,
    _request: ListMetricDescriptorsRequest,
) -> Result<ListMetricDescriptorsResponse, Status> {
    Ok(ListMetricDescriptorsResponse { descriptors: metric::descriptors() })
}
