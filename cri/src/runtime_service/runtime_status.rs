//! `Status`.

use std::collections::HashMap;

use reeve_proto::cri::{
    RuntimeCondition, RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusRequest,
    StatusResponse,
};
use serde_json::json;
use tonic::Status;

use super::RuntimeService;
use crate::convert::sandbox_status::HANDLERS;

pub(super) async fn call(service: &RuntimeService, request: StatusRequest) -> Result<StatusResponse, Status> {
    let engine = service.engine.status();
    Ok(StatusResponse {
        status: Some(RuntimeStatus {
            // An engine that can answer has its store and its locks: it is ready.
            conditions: vec![condition("RuntimeReady", &Ok(())), condition("NetworkReady", &engine.network)],
        }),
        info: if request.verbose { info(service, engine.cgroup_driver) } else { HashMap::new() },
        runtime_handlers: HANDLERS.iter().map(|name| handler(name)).collect(),
        features: Some(RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
            mount_options: false,
        }),
    })
}

fn condition(kind: &str, state: &Result<(), String>) -> RuntimeCondition {
    RuntimeCondition {
        r#type: kind.to_owned(),
        status: state.is_ok(),
        reason: if state.is_ok() {
            String::new()
        } else {
            format!("{}Failed", kind.trim_end_matches("Ready"))
        },
        message: state.as_ref().err().cloned().unwrap_or_default(),
    }
}

fn handler(name: &str) -> RuntimeHandler {
    RuntimeHandler {
        name: name.to_owned(),
        features: Some(RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false }),
    }
}

fn info(service: &RuntimeService, cgroup_driver: &str) -> HashMap<String, String> {
    let config = json!({
        "version": service.config.version,
        "root": service.config.root,
        "socket": service.config.socket,
        "streaming": service.streaming.address().to_string(),
        "cgroupDriver": cgroup_driver,
        "sandboxes": service.engine.sandboxes().len(),
        "containers": service.engine.containers().len(),
    });
    HashMap::from([("config".to_owned(), config.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_a_reason_and_says_what_is_wrong() {
        let failed = condition("NetworkReady", &Err("no bridge".to_owned()));
        assert!(!failed.status);
        assert_eq!((failed.reason.as_str(), failed.message.as_str()), ("NetworkFailed", "no bridge"));
        assert!(condition("RuntimeReady", &Ok(())).status);
    }
}
