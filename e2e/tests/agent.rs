//! One machine, one directory: what a person with manifests sees.

use std::fs;

use reeve_e2e::busybox::{SLEEP, container, node_with_busybox, pod};
use reeve_e2e::wait::let_pass;
use reeve_e2e::{Lab, Node, http, node::is_ready, until, until_some};
use serde_json::Value;

fn restarts(pod: &Value) -> u64 {
    container(pod)["restartCount"].as_u64().unwrap_or_default()
}

#[test]
fn an_edit_replaces_its_pod_and_touches_nothing_else() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("one.yaml", &pod("one", SLEEP, ""));
    node.apply("two.yaml", &pod("two", SLEEP, ""));
    let one = node.wait_ready("one");
    let two = node.wait_ready("two");

    node.apply("one.yaml", &pod("one", &format!(": edited; {SLEEP}"), ""));
    let edited = node.wait_pod("one", "is another container and ready", 30, |pod| {
        is_ready(pod) && container(pod)["containerID"] != container(&one)["containerID"]
    });
    assert_ne!(edited["metadata"]["uid"], one["metadata"]["uid"]);
    let untouched = node.pod("two").expect("two");
    assert_eq!(container(&untouched)["containerID"], container(&two)["containerID"]);
    assert_eq!(restarts(&untouched), 0);

    node.withdraw("one.yaml");
    node.wait_gone("one");
    assert!(is_ready(&node.pod("two").expect("two")));
    node.empty();
}

#[test]
fn a_bad_file_leaves_the_last_good_version_running() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("one.yaml", &pod("one", SLEEP, ""));
    let good = node.wait_ready("one");

    node.apply("one.yaml", &pod("one", SLEEP, "  restartPolcy: Never"));
    let sources = until_some("the error is shown", 20, || {
        let text = node.ok(&["get", "sources"]);
        text.contains("restartPolcy").then_some(text)
    });
    assert!(sources.contains("one.yaml:6:3"), "{sources}");
    assert!(sources.contains("restartPolicy"), "a suggestion: {sources}");
    let pod_now = node.pod("one").expect("still there");
    assert_eq!(container(&pod_now)["containerID"], container(&good)["containerID"]);

    node.apply("one.yaml", &pod("one", SLEEP, ""));
    until("the error is gone", 20, || !node.ok(&["get", "sources"]).contains("restartPolcy"));
    assert_eq!(container(&node.pod("one").expect("one"))["containerID"], container(&good)["containerID"]);
    node.empty();
}

#[test]
fn two_files_that_declare_one_pod_are_an_error_that_names_both() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("first.yaml", &pod("same", SLEEP, ""));
    let first = node.wait_ready("same");
    node.apply("second.yaml", &pod("same", &format!(": second; {SLEEP}"), ""));
    let sources = until_some("the conflict is shown", 20, || {
        let text = node.ok(&["get", "sources"]);
        text.contains("second.yaml").then_some(text)
    });
    assert!(sources.contains("first.yaml"), "{sources}");
    assert_eq!(container(&node.pod("same").expect("same"))["containerID"], container(&first)["containerID"]);
    node.withdraw("second.yaml");
    until("the conflict is gone", 20, || !node.ok(&["get", "sources"]).contains("second.yaml"));
    node.empty();
}

#[test]
fn oversized_manifests_and_yaml_bombs_are_refused_quickly() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("one.yaml", &pod("one", SLEEP, ""));
    node.wait_ready("one");

    let mut huge = pod("huge", SLEEP, "");
    huge.push_str(&"#".repeat(10 << 20));
    node.apply("huge.yaml", &huge);
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (name, previous) in ('b'..='j').zip('a'..='i') {
        let items = vec![format!("*{previous}"); 9].join(", ");
        bomb.push_str(&format!("{name}: &{name} [{items}]\n"));
    }
    node.apply("bomb.yaml", &bomb);
    until("both are reported", 20, || {
        let text = node.ok(&["get", "sources"]);
        text.contains("huge.yaml") && text.contains("bomb.yaml")
    });
    assert!(is_ready(&node.pod("one").expect("one")), "nothing else is disturbed");
    node.empty();
}

#[test]
fn crashes_are_counted_and_waited_for() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("crash.yaml", &pod("crash", "echo going down; exit 3", ""));
    let crashed = node.wait_pod("crash", "has restarted and backs off", 40, |pod| {
        restarts(pod) >= 1 && container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(container(&crashed)["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(container(&crashed)["lastState"]["terminated"]["reason"], "Error");
    let shown = node.ok(&["get", "pods"]);
    assert!(shown.contains("CrashLoopBackOff"), "{shown}");
    assert!(node.ok(&["logs", "--previous", "crash"]).contains("going down"));
    let events = node.ok(&["get", "events"]);
    assert!(events.contains("BackOff"), "{events}");
    node.empty();
}

#[test]
fn a_container_over_its_memory_limit_is_oom_killed() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    let script = "exec awk 'BEGIN { s = \"xxxxxxxx\"; while (1) s = s s }'";
    let manifest = pod("hog", script, "  restartPolicy: Never") + "    resources: {limits: {memory: 24Mi}}\n";
    node.apply("hog.yaml", &manifest);
    let killed = node.wait_pod("hog", "has failed", 60, |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(container(&killed)["state"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(container(&killed)["state"]["terminated"]["exitCode"], 137);
    assert!(node.ok(&["get", "pods"]).contains("OOMKilled"));
    node.empty();
}

#[test]
fn probes_decide_readiness_and_restarts() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    let script = format!("touch /live; {SLEEP}");
    let manifest = pod("probed", &script, "")
        + "    livenessProbe: {exec: {command: [cat, /live]}, periodSeconds: 1, failureThreshold: 1}\n"
        + "    readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1}\n"
        + "    startupProbe: {exec: {command: [cat, /live]}, periodSeconds: 1, failureThreshold: 30}\n";
    node.apply("probed.yaml", &manifest);
    node.wait_pod("probed", "has started, and is not ready", 30, |pod| {
        container(pod)["started"] == true && container(pod)["ready"] == false
    });
    node.ok(&["exec", "probed", "--", "touch", "/ready"]);
    node.wait_ready("probed");
    node.ok(&["exec", "probed", "--", "rm", "/live"]);
    let again = node.wait_pod("probed", "is restarted", 30, |pod| restarts(pod) == 1);
    assert!(container(&again)["lastState"]["terminated"].is_object());
    assert!(node.ok(&["get", "events"]).contains("Liveness probe failed"));
    node.empty();
}

#[test]
fn http_and_tcp_probes_reach_the_pod() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    let script = "mkdir -p /www; echo fine > /www/index.html; exec httpd -f -p 8000 -h /www";
    let manifest = pod("web", script, "")
        + "    ports: [{containerPort: 8000, hostPort: 8099, name: http}]\n"
        + "    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}\n"
        + "    livenessProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}\n";
    node.apply("web.yaml", &manifest);
    let pod = node.wait_ready("web");
    let address = pod["status"]["podIP"].as_str().expect("an address").to_owned();
    assert_eq!(http::get(&lab, &format!("http://{address}:8000/")).expect("answer").1.trim(), "fine");
    for host in ["127.0.0.1", "192.0.2.1"] {
        let answer = http::get(&lab, &format!("http://{host}:8099/")).expect("the host port answers");
        assert_eq!((answer.0, answer.1.trim()), (200, "fine"), "through {host}");
    }
    assert!(node.ok(&["get", "pods", "-o", "wide"]).contains(&address));
    node.empty();
    assert!(http::get(&lab, "http://127.0.0.1:8099/").is_none(), "the port is free again");
}

#[test]
fn init_containers_volumes_and_variables() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    let host = lab.path("host-data");
    fs::create_dir_all(&host).expect("directory");
    fs::write(host.join("from-host"), "host").expect("file");
    let manifest = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: all, labels: {{app: all}}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000}}
  initContainers:
  - {{name: first, image: 'e2e.test/busybox:1', command: [sh, -c, 'echo first > /shared/order'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}
  - {{name: second, image: 'e2e.test/busybox:1', command: [sh, -c, 'echo second >> /shared/order'], volumeMounts: [{{name: shared, mountPath: /shared}}]}}
  containers:
  - name: main
    image: e2e.test/busybox:1
    command: [sh, -c]
    args: ['cat /shared/order; cat /host/from-host; echo $(GREETING) $ESCAPED; id; touch /host/x || echo read-only; {SLEEP_INLINE}']
    env: [{{name: NAME, value: reeve}}, {{name: GREETING, value: 'hello $(NAME)'}}, {{name: ESCAPED, value: '$$(NAME)'}}]
    resources: {{requests: {{cpu: 100m, memory: 32Mi}}, limits: {{memory: 64Mi}}}}
    volumeMounts: [{{name: shared, mountPath: /shared}}, {{name: host, mountPath: /host, readOnly: true}}]
  volumes: [{{name: shared, emptyDir: {{}}}}, {{name: host, hostPath: {{path: {host}, type: Directory}}}}]
",
        SLEEP_INLINE = "trap \"exit 0\" TERM; while :; do sleep 1 & wait; done",
        host = host.display()
    );
    node.apply("all.yaml", &manifest);
    let pod = node.wait_ready("all");
    assert_eq!(pod["status"]["qosClass"], "Burstable");
    assert_eq!(pod["status"]["initContainerStatuses"][1]["state"]["terminated"]["reason"], "Completed");
    let log = until_some("the container has said all", 10, || {
        let log = node.ok(&["logs", "all"]);
        log.contains("read-only").then_some(log)
    });
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("touch:")).collect();
    assert_eq!(lines[..2], ["first", "second"]);
    assert!(log.contains("hosthello reeve $(NAME)"), "{log}");
    assert!(log.contains("uid=1000 gid=2000") && log.contains("3000"), "{log}");
    node.empty();
}

#[test]
fn the_command_line_shows_logs_runs_commands_and_passes_exit_codes_on() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("talk.yaml", &pod("talk", &format!("echo one; echo two >&2; {SLEEP}"), ""));
    node.wait_ready("talk");
    until("the log is there", 10, || node.ok(&["logs", "talk"]).lines().count() == 2);
    assert_eq!(node.ok(&["logs", "--tail", "1", "talk"]).lines().count(), 1);
    assert_eq!(node.ok(&["exec", "talk", "--", "echo", "from inside"]), "from inside\n");
    assert_eq!(node.reeve(&["exec", "talk", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    let described = node.ok(&["describe", "pod", "talk"]);
    assert!(described.contains("Started") && described.contains("e2e.test/busybox:1"), "{described}");
    let yaml = node.ok(&["get", "pods", "talk", "-o", "yaml"]);
    assert!(yaml.contains("phase: Running"), "{yaml}");
    let missing = node.reeve(&["logs", "nobody"]);
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nobody"));
    let metrics = lab.run([
        "curl",
        "-sS",
        "--unix-socket",
        node.state.join("agent.sock").to_str().expect("UTF-8"),
        "http://agent/metrics",
    ]);
    assert!(metrics.contains("# TYPE"), "{metrics}");
    node.empty();
}

#[test]
fn swap_files_and_half_written_files_are_not_manifests() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    fs::write(node.manifests.join(".one.yaml.swp"), "b0VIM").expect("file");
    fs::write(node.manifests.join("one.yaml~"), pod("backup", SLEEP, "")).expect("file");
    fs::create_dir(node.manifests.join("sub")).expect("folder");
    fs::write(node.manifests.join("sub/one.yaml"), pod("one", SLEEP, "")).expect("file");
    node.wait_ready("one");
    let_pass(0.5);
    assert_eq!(node.pods().len(), 1);
    let sources = node.ok(&["get", "sources"]);
    assert!(!sources.contains("swp"), "{sources}");
    node.empty();
}

#[test]
fn two_instances_run_side_by_side() {
    let lab = Lab::new();
    let mut one = node_with_busybox(&lab);
    let mut two = Node::start_with(
        &lab,
        reeve_e2e::NodeOptions {
            arguments: vec!["--subnet".into(), "10.89.0.0/16".into()],
            ..Default::default()
        },
    );
    two.import(&lab.path("busybox.tar"));
    one.apply("same.yaml", &pod("same", SLEEP, ""));
    two.apply("same.yaml", &pod("same", SLEEP, ""));
    let first = one.wait_ready("same");
    let second = two.wait_ready("same");
    assert_ne!(first["status"]["podIP"], second["status"]["podIP"]);
    one.empty();
    assert_eq!(
        container(&two.pod("same").expect("same"))["containerID"],
        container(&second)["containerID"],
        "the other is as it was"
    );
    two.empty();
}

#[test]
fn a_second_daemon_on_one_root_is_refused() {
    let lab = Lab::new();
    let node = Node::start(&lab);
    let output = lab.output([
        reeve_e2e::tools::dist().join("reeve").as_os_str(),
        "cri".as_ref(),
        "--root".as_ref(),
        node.root.as_os_str(),
        "--state".as_ref(),
        lab.path("other").as_os_str(),
    ]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(node.root.to_str().expect("UTF-8")), "{text}");
}
