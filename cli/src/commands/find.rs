//! Pods by the names people use for them.

use http::Method;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;

use crate::client::{Agent, segment};
use crate::exit::{Failure, NOT_FOUND};

/// Path of the pods of a namespace, or of all.
pub(super) fn pods_path(namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{}/pods", segment(namespace)),
        None => "/api/v1/pods".into(),
    }
}

/// Path of one pod.
pub(super) fn pod_path(pod: &Pod) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    format!("{}/{}", pods_path(Some(namespace)), segment(name))
}

/// All pods of a namespace, or of all.
pub(super) async fn pods(agent: &Agent, namespace: Option<&str>) -> anyhow::Result<Vec<Pod>> {
    Ok(agent.ask::<List<Pod>>(Method::GET, &pods_path(namespace)).await?.items)
}

/// The pod called `name`, with or without `pod/` before it and the node's name behind it.
pub(super) async fn pod(agent: &Agent, namespace: &str, name: &str) -> anyhow::Result<Pod> {
    let pods = pods(agent, None).await?;
    match choose(&pods, namespace, name) {
        Some(pod) => Ok(pod.clone()),
        None => Err(not_found(&pods, namespace, name).into()),
    }
}

/// The pod called `name` among `pods`: of that name, else the static pod that has this node's name appended; of
/// two the one that is not ending.
pub(super) fn choose<'a>(pods: &'a [Pod], namespace: &str, name: &str) -> Option<&'a Pod> {
    let name = plain(name);
    let here = pods.iter().filter(|pod| pod.metadata.namespace.as_deref() == Some(namespace));
    let called = |wanted: fn(&Pod, &str) -> bool| {
        let mut found: Vec<&Pod> = here.clone().filter(|pod| wanted(pod, name)).collect();
        found.sort_by_key(|pod| pod.metadata.deletion_timestamp.is_some());
        found.first().copied()
    };
    called(is_named).or_else(|| called(is_static_named))
}

fn plain(name: &str) -> &str {
    name.strip_prefix("pod/").or_else(|| name.strip_prefix("pods/")).unwrap_or(name)
}

fn is_named(pod: &Pod, name: &str) -> bool {
    pod.metadata.name.as_deref() == Some(name)
}

fn is_static_named(pod: &Pod, name: &str) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let full = pod.metadata.name.as_deref();
    let rest = full.and_then(|full| full.strip_prefix(name)).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some() && rest == node
}

fn not_found(pods: &[Pod], namespace: &str, name: &str) -> Failure {
    let name = plain(name);
    let failure = Failure::new(NOT_FOUND, format!("pod {name:?} not found in namespace {namespace}"));
    let elsewhere = pods.iter().find(|pod| is_named(pod, name) || is_static_named(pod, name));
    match elsewhere.and_then(|pod| pod.metadata.namespace.as_deref()) {
        Some(other) => failure.hint(format!("namespace {other} has one of that name: add -n {other}")),
        None => failure
            .hint("`reeve get pods -A` lists all pods, `reeve get sources` what keeps one from running"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures;
    use serde_json::json;

    fn pod(namespace: &str, name: &str, uid: &str, ending: bool) -> Pod {
        let mut pod = fixtures::pod(json!({
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "spec": {"nodeName": "node-1", "containers": []},
        }));
        if ending {
            pod.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(fixtures::now()));
        }
        pod
    }

    #[test]
    fn names_people_use() {
        let pods = [
            pod("default", "web-node-1", "a", true),
            pod("default", "web-node-1", "b", false),
            pod("default", "web", "c", false),
            pod("other", "db-node-1", "d", false),
        ];
        let uid = |namespace, name| choose(&pods, namespace, name).and_then(|p| p.metadata.uid.clone());
        assert_eq!(uid("default", "web").as_deref(), Some("c"));
        assert_eq!(uid("default", "pod/web").as_deref(), Some("c"));
        assert_eq!(uid("default", "web-node-1").as_deref(), Some("b"));
        assert_eq!(uid("other", "db").as_deref(), Some("d"));
        assert_eq!(uid("default", "db"), None);
        assert_eq!(uid("default", "we"), None);
        assert_eq!(
            not_found(&pods, "default", "db").to_string(),
            r#"pod "db" not found in namespace default"#
        );
    }
}
