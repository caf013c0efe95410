use std::collections::HashMap;

use reeve_engine::Sandbox;
use reeve_proto::cri::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use serde_json::json;
use tonic::Status;

use super::RuntimeService;
use crate::clock;
use crate::convert::sandbox_status;

pub(super) async fn call(
    service: &RuntimeService,
    request: PodSandboxStatusRequest,
) -> Result<PodSandboxStatusResponse, Status> {
    // Before the state is read: whoever compares it with an event must not take older news for newer.
    let timestamp = clock::now();
    let sandbox = service.sandbox(&request.pod_sandbox_id)?;
    Ok(PodSandboxStatusResponse {
        status: Some(sandbox_status::status(&sandbox)),
        info: if request.verbose { info(service, &sandbox) } else { HashMap::new() },
        containers_statuses: service.statuses_of(&sandbox.id),
        timestamp,
    })
}

fn info(service: &RuntimeService, sandbox: &Sandbox) -> HashMap<String, String> {
    let info = json!({
        "pid": sandbox.shim_pid,
        "netns": service.engine.sandbox_netns(&sandbox.id).ok().flatten(),
        "config": &*sandbox.spec,
    });
    HashMap::from([("info".to_owned(), info.to_string())])
}
