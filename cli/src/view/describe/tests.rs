//! One full page, compared as a whole.

use crate::view::fixtures::{event, now, pod};
use serde_json::json;

#[test]
fn a_page_about_a_pod() {
    let pod = pod(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "6f0e", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "nodeName": "node-1",
            "initContainers": [{"name": "fetch", "image": "registry.test/fetch:1"}],
            "containers": [{
                "name": "web", "image": "registry.test/web:1", "command": ["/web"], "args": ["-p", "80"],
                "ports": [{"containerPort": 80, "hostPort": 8080}],
                "resources": {"limits": {"memory": "64Mi"}},
                "env": [{"name": "COLOUR", "value": "blue"},
                        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 80}},
                "volumeMounts": [{"name": "data", "mountPath": "/srv", "readOnly": true}],
            }],
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
        "status": {
            "phase": "Running", "podIP": "10.88.0.2", "podIPs": [{"ip": "10.88.0.2"}], "hostIP": "192.0.2.1",
            "qosClass": "Burstable",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [{
                "name": "web", "image": "registry.test/web:1", "imageID": "sha256:ab", "containerID": "reeve://cd",
                "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }],
        },
    }));
    let event = event(json!({
        "metadata": {"name": "web.1"}, "involvedObject": {"kind": "Pod", "name": "web"},
        "type": "Normal", "reason": "Started", "message": "Started container web",
        "lastTimestamp": "2026-11-21T11:59:48Z", "source": {"component": "reeve"},
    }));
    insta::assert_snapshot!(super::pod(&pod, &[event], now()));
}
