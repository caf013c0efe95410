//! What `make run` shows: the samples of `manifests/quickstart` on the image that the build makes.

use std::fs;
use std::io::Read;

use reeve_e2e::{Lab, Node, NodeOptions, http, tools, until};
use serde_json::Value;

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

#[test]
fn the_samples_do_what_they_say() {
    let lab = Lab::new();
    let archive = tools::dist().join("quickstart.tar");
    let mut node = Node::start_with(
        &lab,
        NodeOptions {
            arguments: vec!["--import".into(), archive.display().to_string()],
            ..Default::default()
        },
    );
    let samples = tools::repository().join("manifests/quickstart");
    for sample in fs::read_dir(samples).expect("samples").flatten() {
        let text = fs::read_to_string(sample.path()).expect("sample");
        node.apply(&sample.file_name().to_string_lossy(), &text);
    }

    node.wait_ready("web");
    assert_eq!(http::get(&lab, "http://127.0.0.1:8080/").expect("the web pod answers").0, 200);
    let shared = node.wait_ready("shared-volume");
    assert_eq!(shared["status"]["containerStatuses"].as_array().map(Vec::len), Some(2));
    until("the reader shows what the writer wrote", 20, || {
        !node.ok(&["logs", "shared-volume", "-c", "reader"]).is_empty()
    });
    node.wait_pod("out-of-memory", "is OOMKilled", 30, |pod| {
        let statuses = [&container(pod)["state"], &container(pod)["lastState"]];
        statuses.iter().any(|state| state["terminated"]["reason"] == "OOMKilled")
    });
    node.wait_pod("crash", "crashes, and waits longer the second time", 60, |pod| {
        container(pod)["restartCount"].as_u64() >= Some(2)
            && container(pod)["state"]["waiting"]["message"].as_str().is_some_and(|m| m.contains("20s"))
    });
    node.wait_pod("unhealthy", "is restarted by its liveness probe", 60, |pod| {
        container(pod)["restartCount"].as_u64() >= Some(1)
    });
    let table = node.ok(&["get", "pods"]);
    for word in ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "web", "2/2"] {
        assert!(table.contains(word), "{word} in\n{table}");
    }
    node.empty();
}

/// Ctrl-C takes the pods down with the agent, unless `--keep`.
#[test]
fn interrupting_the_agent_leaves_cleanly() {
    let lab = Lab::new();
    let node = Node::prepare(&lab, NodeOptions::default());
    let samples = tools::repository().join("manifests/quickstart");
    fs::copy(samples.join("web.yaml"), node.manifests.join("web.yaml")).expect("sample");
    let mut agent = lab
        .command(tools::dist().join("reeve"))
        .args(["agent", "--import"])
        .arg(tools::dist().join("quickstart.tar"))
        .arg("--manifests")
        .arg(&node.manifests)
        .arg("--root")
        .arg(&node.root)
        .arg("--state")
        .arg(&node.state)
        .arg("--log-root")
        .arg(&node.logs)
        .args(["--bridge", &node.bridge(), "--cgroup-parent", node.cgroup_parent()])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("reeve");
    until("the web pod answers", 60, || http::get(&lab, "http://127.0.0.1:8080/").is_some());
    // SAFETY: the process is this test's own child, not yet waited for.
    unsafe { libc::kill(agent.id() as i32, libc::SIGINT) };
    let mut said = String::new();
    agent.stderr.take().expect("stderr").read_to_string(&mut said).expect("text");
    assert!(agent.wait().expect("wait").success(), "{said}");
    assert!(http::get(&lab, "http://127.0.0.1:8080/").is_none());
    assert_eq!(reeve_e2e::leaks::held(&node), Vec::<String>::new(), "{said}");
}
