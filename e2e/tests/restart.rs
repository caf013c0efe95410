//! `kill -9` of the daemon, at rest and in the middle of things.

use std::fs;

use reeve_e2e::busybox::{SLEEP, container, node_with_busybox, pod};
use reeve_e2e::wait::let_pass;
use reeve_e2e::{Lab, Node, Registry, image::Image, leaks, node::is_ready, until};
use serde_json::json;

#[test]
fn pods_outlive_the_daemon() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("talk.yaml", &pod("talk", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done", ""));
    node.apply(
        "die.yaml",
        &pod(
            "die",
            "while [ ! -e /stop/now ]; do sleep 0.05; done; exit 5",
            &format!(
                "  restartPolicy: Never\n  volumes: [{{name: stop, hostPath: {{path: {}}}}}]",
                lab.dir.path().display()
            ),
        )
        .replace("    command:", "    volumeMounts: [{name: stop, mountPath: /stop}]\n    command:"),
    );
    let talk = node.wait_ready("talk");
    node.wait_ready("die");
    let pid = node.pod_pid("talk");

    node.kill();
    let log =
        node.logs.join(format!("default_talk_{}/main/0.log", talk["metadata"]["uid"].as_str().expect("uid")));
    let size = || fs::metadata(&log).expect("log").len();
    let before = size();
    until("the log goes on without the daemon", 10, || size() > before);
    fs::write(lab.path("now"), "").expect("file");
    let_pass(0.5);
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok(), "the container lives");

    node.launch();
    let died =
        node.wait_pod("die", "is reported with its exit code", 20, |pod| pod["status"]["phase"] == "Failed");
    assert_eq!(container(&died)["state"]["terminated"]["exitCode"], 5);
    let same = node.wait_ready("talk");
    assert_eq!(container(&same)["containerID"], container(&talk)["containerID"]);
    assert_eq!(container(&same)["restartCount"], 0);
    assert_eq!(same["metadata"]["uid"], talk["metadata"]["uid"]);
    assert_eq!(node.pod_pid("talk"), pid);
    node.empty();
}

#[test]
fn a_container_that_crashes_after_the_daemon_was_killed_is_started_again() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("one.yaml", &pod("one", "while [ ! -e /crash ]; do sleep 0.05; done; exit 6", ""));
    let before = node.wait_ready("one");
    node.kill();
    node.launch();
    node.ok(&["exec", "one", "--", "touch", "/crash"]);
    let again = node.wait_pod("one", "runs again in the same sandbox", 30, |pod| {
        container(pod)["restartCount"] == 1 && is_ready(pod)
    });
    assert_eq!(container(&again)["lastState"]["terminated"]["exitCode"], 6);
    assert_eq!(again["status"]["podIP"], before["status"]["podIP"]);
    node.empty();
}

#[test]
fn a_manifest_withdrawn_while_the_daemon_is_down_goes() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    node.apply("one.yaml", &pod("one", SLEEP, ""));
    node.apply("two.yaml", &pod("two", SLEEP, ""));
    node.wait_ready("one");
    let two = node.wait_ready("two");
    node.kill();
    node.withdraw("one.yaml");
    node.launch();
    node.wait_gone("one");
    assert_eq!(container(&node.pod("two").expect("two"))["containerID"], container(&two)["containerID"]);
    node.empty();
}

#[test]
fn killed_in_the_middle_of_a_pull() {
    let lab = Lab::new();
    let registry = Registry::open(&lab, 5000);
    // Noise does not compress, so that the pull takes long enough to be hit.
    let mut noise = vec![0u8; 96 << 20];
    fs::File::open("/dev/urandom")
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut noise))
        .expect("noise");
    let big = reeve_e2e::image::Layer::of_files(&[("noise", 0o644, &noise)]);
    // Whole long before the other, and so without an image when that is cut off.
    let small = reeve_e2e::image::Layer::of_files(&[("small", 0o644, b"small")]);
    Image::new(vec![small, big], json!({"Cmd": ["/noise"]})).push(&lab, &registry, "big:1", None);
    let mut node = Node::start(&lab);
    for _ in 0..3 {
        let mut pull =
            node.reeve_command(&["image", "pull", &registry.reference("big:1")]).spawn().expect("pull");
        until("bytes arrive", 20, || busy(&node) || pull.try_wait().expect("pull").is_some());
        node.kill();
        let _ = pull.wait();
        node.launch();
        leaks::assert_none(&node);
        if node.ok(&["image", "ls", "-o", "json"]).contains("big") {
            node.ok(&["image", "rm", &registry.reference("big:1")]);
        }
        assert_eq!(
            leaks::image_content(&node),
            Vec::<std::path::PathBuf>::new(),
            "of an image that nobody has"
        );
    }
    node.ok(&["image", "pull", &registry.reference("big:1")]);
    assert!(node.ok(&["image", "ls"]).contains("big"));
    node.ok(&["image", "rm", &registry.reference("big:1")]);
    assert_eq!(leaks::image_content(&node), Vec::<std::path::PathBuf>::new());
    node.empty();
}

/// Whether a download or an unpacking is on disk and not yet whole.
fn busy(node: &Node) -> bool {
    ["content/ingest", "layers"]
        .iter()
        .any(|folder| fs::read_dir(node.root.join(folder)).is_ok_and(|mut entries| entries.next().is_some()))
}

/// Every fail point that creating and deleting a pod passes.
#[test]
fn killed_at_every_fail_point() {
    let lab = Lab::new();
    let mut node = node_with_busybox(&lab);
    let names = node.ok(&["failpoints"]);
    assert!(names.lines().count() > 8, "{names}");
    let mut passed_by = Vec::new();
    for point in names.lines() {
        node.stop();
        node.set_environment(&[("REEVE_FAILPOINT", point)]);
        node.apply("one.yaml", &pod("one", SLEEP, ""));
        node.spawn();
        // Points of the way up are hit by now or when the pod is there; those of the way down on removal.
        let hit = |node: &mut Node| node.daemon_ended();
        until("up, or killed on the way", 30, || {
            hit(&mut node) || node.try_pods().is_some_and(|pods| pods.iter().any(is_ready))
        });
        if !hit(&mut node) {
            node.withdraw("one.yaml");
            until("down, or killed on the way", 30, || {
                hit(&mut node) || node.try_pods().is_some_and(|pods| pods.is_empty())
            });
        }
        if hit(&mut node) {
            node.wait_killed();
        } else {
            passed_by.push(point);
            node.stop();
        }
        node.set_environment(&[]);
        node.launch();
        if node.manifests.join("one.yaml").exists() {
            node.wait_ready("one");
        }
        node.empty();
    }
    // The agent stops containers by itself, and never updates one.
    let by_others = ["update_container", "stop_container"];
    passed_by.retain(|point| !by_others.iter().any(|operation| point.starts_with(operation)));
    assert_eq!(passed_by, Vec::<&str>::new(), "points that no life of a pod passes");
}
