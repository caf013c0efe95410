//! The real crictl against `reeve cri` alone.

use std::fs;
use std::path::PathBuf;

use reeve_e2e::{Lab, Node, NodeOptions, Registry, image::Image, leaks, until};
use serde_json::{Value, json};

struct Bench<'lab> {
    node: Node<'lab>,
    image: String,
    _registry: Registry,
}

fn bench(lab: &Lab) -> Bench<'_> {
    let registry = Registry::open(lab, 5000);
    Image::busybox().push(lab, &registry, "busybox:1", None);
    let node = Node::start_with(lab, NodeOptions { cri_only: true, ..Default::default() });
    let image = registry.reference("busybox:1");
    node.crictl_ok(&["pull", &image]);
    Bench { node, image, _registry: registry }
}

impl Bench<'_> {
    fn file(&self, name: &str, value: &Value) -> PathBuf {
        let path = self.node.lab().path(name);
        fs::write(&path, value.to_string()).expect("scratch");
        path
    }

    fn sandbox_config(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}-pod.json"), &json!({
            "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "attempt": 1},
            "hostname": name, "log_directory": self.node.logs.join(name), "labels": {"app": name},
            "port_mappings": [{"container_port": 8000, "host_port": 8090, "protocol": 0}],
            "linux": {"cgroup_parent": format!("{}/pod-{name}", self.node.cgroup_parent())},
        }))
    }

    fn container_config(&self, name: &str, script: &str) -> PathBuf {
        fs::create_dir_all(self.node.logs.join(name)).expect("logs");
        self.file(
            &format!("{name}-container.json"),
            &json!({
                "metadata": {"name": "main", "attempt": 0}, "image": {"image": self.image},
                "command": ["sh", "-c", script], "log_path": "main.log", "labels": {"tier": "test"},
                "envs": [{"key": "GREETING", "value": "hello"}],
                "linux": {"resources": {"memory_limit_in_bytes": 64 << 20, "cpu_shares": 256}},
            }),
        )
    }
}

#[test]
fn a_pod_from_run_to_removal() {
    let lab = Lab::new();
    let bench = bench(&lab);
    let node = &bench.node;
    let pod_config = bench.sandbox_config("flow");
    let pod = node.crictl_ok(&["runp", pod_config.to_str().expect("UTF-8")]);
    let listed = node.crictl_ok(&["pods", "--name", "flow", "--label", "app=flow", "-o", "json"]);
    assert!(listed.contains(&pod) && listed.contains("SANDBOX_READY"), "{listed}");

    let script = "echo $GREETING from $(hostname); echo oops >&2; trap 'exit 3' TERM; while :; do sleep 1 & wait; done";
    let config = bench.container_config("flow", script);
    let id = node.crictl_ok(&[
        "create",
        &pod,
        config.to_str().expect("UTF-8"),
        pod_config.to_str().expect("UTF-8"),
    ]);
    assert!(node.crictl_ok(&["ps", "-a", "--state", "created", "-q"]).contains(&id));
    node.crictl_ok(&["start", &id]);
    until("the container has spoken", 10, || node.crictl_ok(&["logs", &id]).contains("hello from flow"));
    let output = node.crictl(&["logs", &id]);
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "oops", "streams are told apart");

    assert_eq!(node.crictl_ok(&["exec", "-s", &id, "echo", "inside"]), "inside");
    let failed = node.crictl(&["exec", "-s", &id, "sh", "-c", "exit 9"]);
    assert!(!failed.status.success() && String::from_utf8_lossy(&failed.stderr).contains('9'));
    let slow = node.crictl(&["exec", "-s", "--timeout", "1", &id, "sleep", "30"]);
    assert!(!slow.status.success(), "a time-out is an error");

    let stats: Value = serde_json::from_str(&node.crictl_ok(&["stats", "-o", "json", &id])).expect("JSON");
    let memory = stats["stats"][0]["memory"]["workingSetBytes"]["value"].as_str().unwrap_or("0").to_owned();
    assert!(memory.parse::<u64>().expect("bytes") > 0, "{stats}");
    let pods: Value = serde_json::from_str(&node.crictl_ok(&["statsp", "-o", "json"])).expect("JSON");
    assert_eq!(pods["stats"].as_array().map(Vec::len), Some(1), "{pods}");

    let inspected: Value = serde_json::from_str(&node.crictl_ok(&["inspectp", &pod])).expect("JSON");
    assert!(
        inspected["status"]["network"]["ip"].as_str().is_some_and(|ip| ip.starts_with("10.88.")),
        "{inspected}"
    );

    node.crictl_ok(&["update", "--memory", "134217728", &id]);
    node.crictl_ok(&["stop", "--timeout", "10", &id]);
    let inspected: Value = serde_json::from_str(&node.crictl_ok(&["inspect", &id])).expect("JSON");
    assert_eq!(inspected["status"]["exitCode"], 3, "{inspected}");
    assert_eq!(inspected["status"]["state"], "CONTAINER_EXITED");
    node.crictl_ok(&["rm", &id]);
    node.crictl_ok(&["stopp", &pod]);
    node.crictl_ok(&["rmp", &pod]);
    assert_eq!(node.crictl_ok(&["pods", "-q"]), "");
    leaks::assert_none(node);
}

#[test]
fn removal_by_force_takes_everything() {
    let lab = Lab::new();
    let bench = bench(&lab);
    let node = &bench.node;
    let pod_config = bench.sandbox_config("forced");
    let config = bench.container_config("forced", "trap '' TERM; while :; do sleep 1; done");
    for _ in 0..2 {
        let id = node.crictl_ok(&[
            "run",
            "--no-pull",
            config.to_str().expect("UTF-8"),
            pod_config.to_str().expect("UTF-8"),
        ]);
        assert!(node.crictl_ok(&["ps", "-q"]).contains(&id));
        node.crictl_ok(&["rmp", "-f", "-a"]);
        leaks::assert_none(node);
    }
}

#[test]
fn images_are_listed_inspected_and_removed() {
    let lab = Lab::new();
    let bench = bench(&lab);
    let node = &bench.node;
    assert!(node.crictl_ok(&["images"]).contains("busybox"));
    let inspected: Value = serde_json::from_str(&node.crictl_ok(&["inspecti", &bench.image])).expect("JSON");
    let id = inspected["status"]["id"].as_str().expect("id").to_owned();
    assert!(id.starts_with("sha256:"), "{id}");
    let usage: Value = serde_json::from_str(&node.crictl_ok(&["imagefsinfo"])).expect("JSON");
    let used =
        usage["status"]["imageFilesystems"][0]["usedBytes"]["value"].as_str().unwrap_or("0").to_owned();
    assert!(used.parse::<u64>().expect("bytes") > 0, "{usage}");
    node.crictl_ok(&["rmi", &id]);
    assert!(!node.crictl(&["inspecti", &bench.image]).status.success());
    node.crictl_ok(&["rmi", "--prune"]);
}

#[test]
fn a_missing_command_and_unknown_ids_are_clear_errors() {
    let lab = Lab::new();
    let bench = bench(&lab);
    let node = &bench.node;
    let pod_config = bench.sandbox_config("wrong");
    let pod = node.crictl_ok(&["runp", pod_config.to_str().expect("UTF-8")]);
    let config = bench.file(
        "missing.json",
        &json!({
        "metadata": {"name": "missing"}, "image": {"image": bench.image}, "command": ["/no/such/program"],
        "log_path": "missing.log"}),
    );
    let id = node.crictl_ok(&[
        "create",
        &pod,
        config.to_str().expect("UTF-8"),
        pod_config.to_str().expect("UTF-8"),
    ]);
    let started = node.crictl(&["start", &id]);
    assert!(!started.status.success());
    assert!(String::from_utf8_lossy(&started.stderr).contains("/no/such/program"));
    let inspected: Value = serde_json::from_str(&node.crictl_ok(&["inspect", &id])).expect("JSON");
    assert_eq!(inspected["status"]["reason"], "StartError", "{inspected}");
    let unknown = node.crictl(&["inspect", "0123456789"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).to_lowercase().contains("not found"));
    node.crictl_ok(&["rmp", "-f", "-a"]);
    leaks::assert_none(node);
}

#[test]
fn info_and_version() {
    let lab = Lab::new();
    let bench = bench(&lab);
    let info: Value = serde_json::from_str(&bench.node.crictl_ok(&["info"])).expect("JSON");
    for condition in info["status"]["conditions"].as_array().expect("conditions") {
        assert_eq!(condition["status"], true, "{condition}");
    }
    assert!(bench.node.crictl_ok(&["version"]).contains("reeve"));
}
