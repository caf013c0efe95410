//! Pods that come from elsewhere than from a file.
#![allow(clippy::unwrap_used, missing_docs)]

use k8s_openapi::api::core::v1::Pod;
use reeve_manifests::refusals;
use serde_json::{Value, json};

/// What the API server makes of a pod: defaults, metadata, tolerations.
fn of_a_cluster(spec: Value) -> Pod {
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "web-5d9c", "generateName": "web-", "namespace": "default", "uid": "u", "generation": 1,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r"}],
            "deletionTimestamp": "2026-11-21T10:00:00Z",
        },
        "spec": {
            "nodeName": "node-1", "enableServiceLinks": true, "schedulerName": "default-scheduler", "priority": 0,
            "preemptionPolicy": "PreemptLowerPriority", "serviceAccountName": "default", "serviceAccount": "default",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
            "containers": [{"name": "a", "image": "registry.test/a:1"}],
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }))
    .unwrap();
    let fields = spec.as_object().unwrap().clone();
    let mut all = serde_json::to_value(pod.spec.take()).unwrap();
    all.as_object_mut().unwrap().extend(fields);
    pod.spec = serde_json::from_value(all).unwrap();
    reeve_manifests::apply_defaults(&mut pod);
    pod
}

fn said(spec: Value) -> Vec<(String, Option<String>)> {
    refusals(&of_a_cluster(spec)).into_iter().map(|v| (v.message, v.hint)).collect()
}

#[test]
fn what_the_api_server_adds_is_no_reason() {
    assert_eq!(said(json!({})), []);
}

#[test]
fn volumes_are_named_with_their_kind_and_the_cure() {
    let token = json!({"name": "kube-api-access-x7k2p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    let config = json!({"name": "settings", "configMap": {"name": "settings"}});
    let refused = said(json!({"volumes": [{"name": "work", "emptyDir": {}}, token, config]}));
    assert_eq!(
        refused,
        [
            (
                "volume \"kube-api-access-x7k2p\" of kind projected: spec.volumes[1].projected is not supported: \
                 only emptyDir and hostPath volumes can be mounted yet"
                    .to_owned(),
                Some("set automountServiceAccountToken: false in the pod or its service account".to_owned())
            ),
            (
                "volume \"settings\" of kind configMap: spec.volumes[2].configMap is not supported: \
                 only emptyDir and hostPath volumes can be mounted yet"
                    .to_owned(),
                None
            ),
        ]
    );
}

#[test]
fn fields_are_refused_as_those_of_a_manifest() {
    let c =
        json!([{"name": "a", "image": "registry.test/a:1", "envFrom": [{"configMapRef": {"name": "c"}}]}]);
    let refused = said(json!({"containers": c}));
    assert!(refused[0].0.starts_with("spec.containers[0].envFrom is not supported: "), "{refused:?}");
    let refused = said(json!({"hostUsers": false}));
    assert_eq!(refused[0].0, "spec.hostUsers: user namespaces are not supported");
}
