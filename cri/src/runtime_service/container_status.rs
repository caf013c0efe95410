use std::collections::HashMap;

use reeve_engine::Container;
use reeve_proto::cri::{ContainerStatusRequest, ContainerStatusResponse};
use serde_json::json;
use tonic::Status;

use super::RuntimeService;

pub(super) async fn call(
    service: &RuntimeService,
    request: ContainerStatusRequest,
) -> Result<ContainerStatusResponse, Status> {
    let container = service.container(&request.container_id)?;
    Ok(ContainerStatusResponse {
        status: Some(service.status_of(&container)),
        info: if request.verbose { info(&container) } else { HashMap::new() },
    })
}

fn info(container: &Container) -> HashMap<String, String> {
    let info = json!({
        "pid": container.pid,
        "sandboxID": container.sandbox_id,
        "imageID": container.image_id,
        "config": &*container.spec,
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}
