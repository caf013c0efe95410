//! Which container of which pod a request means.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::{Api, Problem};

/// Names the container to be used where the request names none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The pod of that name.
pub(super) fn pod(api: &Api, namespace: &str, name: &str) -> Result<Arc<Pod>, Problem> {
    api.handles
        .pods
        .get(namespace, name)
        .ok_or_else(|| Problem::not_found(format!("pod {namespace}/{name} not found")))
}

/// The container named, or the pod's default, checked against the spec.
pub(super) fn container(pod: &Pod, wanted: Option<&str>) -> Result<String, Problem> {
    let spec = pod.spec.as_ref();
    let names: Vec<&str> = spec
        .into_iter()
        .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
        .map(|c| c.name.as_str())
        .collect();
    let annotated = || pod.metadata.annotations.as_ref()?.get(DEFAULT_CONTAINER).map(String::as_str);
    let wanted = match wanted.filter(|name| !name.is_empty()).or_else(annotated) {
        Some(name) => name,
        None => names.first().copied().unwrap_or_default(),
    };
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let choices = names.join(", ");
    Err(Problem::bad_request(format!("pod {pod_name} has no container {wanted:?}; it has: {choices}")))
}

/// The status of a container, init or not.
pub(super) fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    status.container_statuses.iter().flatten().chain(init).find(|status| status.name == container)
}

/// The runtime's own id in `reeve://ID`, where there is one.
pub(super) fn runtime_id(container_id: Option<&str>) -> Option<&str> {
    let id = container_id?;
    Some(id.split_once("://").map_or(id, |(_, id)| id)).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod_of(annotations: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "annotations": annotations},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]},
        }))
        .expect("a literal pod")
    }

    #[test]
    fn chooses_a_container() {
        let plain = pod_of(json!({}));
        assert_eq!(container(&plain, None).expect("default"), "a");
        assert_eq!(container(&plain, Some("i")).expect("init"), "i");
        let annotated = pod_of(json!({"kubectl.kubernetes.io/default-container": "b"}));
        assert_eq!(container(&annotated, None).expect("annotated"), "b");
        assert_eq!(container(&annotated, Some("a")).expect("named"), "a");
        let error = container(&plain, Some("x")).expect_err("no such container");
        assert_eq!(error.message(), r#"pod p has no container "x"; it has: a, b, i"#);
    }

    #[test]
    fn strips_the_runtimes_name() {
        assert_eq!(runtime_id(Some("reeve://abc")), Some("abc"));
        assert_eq!(runtime_id(Some("abc")), Some("abc"));
        assert_eq!(runtime_id(Some("containerd://")), None);
        assert_eq!(runtime_id(None), None);
    }
}
