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

/// What the loader accepts must pass a second time, as it is written by the types.
#[test]
fn what_a_file_may_declare_is_not_refused_here() {
    let text = r#"
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full}, annotations: {note: "1"}}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 0
  activeDeadlineSeconds: 100
  hostAliases: [{ip: 192.0.2.1, hostnames: [one, two]}]
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.53], searches: [test], options: [{name: ndots, value: "2"}]}
  securityContext: {runAsUser: 0, fsGroup: 10, sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}]}
  volumes:
  - {name: work, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: /srv}}
  - {name: plain, emptyDir: {}}
  initContainers:
  - {name: side, image: registry.test/s:1, restartPolicy: Always, startupProbe: {exec: {command: ["true"]}}}
  containers:
  - name: a
    image: registry.test/a:1
    terminationMessagePolicy: FallbackToLogsOnError
    ports: [{name: http, containerPort: 80, hostPort: 8080}]
    env:
    - {name: ZERO, value: ""}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    resources: {limits: {cpu: 2, memory: 64Mi}}
    volumeMounts: [{name: work, mountPath: /w, subPathExpr: $(IP)}, {name: host, mountPath: /h, readOnly: true}]
    livenessProbe: {httpGet: {port: http, path: /}}
    readinessProbe: {tcpSocket: {port: 80}}
    securityContext: {privileged: false, capabilities: {drop: [ALL], add: [CHOWN]}, readOnlyRootFilesystem: true}
"#;
    let loaded = reeve_manifests::load_file("test", std::path::Path::new("full.yaml"), text);
    let loaded = loaded.unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(refusals(&loaded.pods[0].pod), []);
}
