//! Hooks of all kinds.
#![allow(missing_docs)]

mod common;

use common::Bundle;
use serde_json::{Value, json};

/// Hooks of every kind that append their name, the state and where they run to a file.
fn with_hooks(bundle: Bundle) -> Bundle {
    let log = bundle.path().join("log");
    let mut hooks = json!({});
    for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let script = format!(
            "{{ echo {kind} $(cat) $(readlink /proc/self/ns/mnt) $(env | grep -v PWD | grep -v SHLVL | grep -v _=); }} >> {}",
            log.display()
        );
        hooks[kind] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["ONLY=this"]}]);
    }
    // This one runs in the container, whose tree is another.
    let script = "echo startContainer $(cat) $(readlink /proc/self/ns/mnt) $(env | grep ONLY) > /tmp/log";
    hooks["startContainer"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin", "ONLY=this"]}]);
    bundle.set("/hooks", hooks)
}

#[test]
fn every_kind_runs_in_its_place_with_the_state() {
    let bundle = with_hooks(Bundle::new()).args(&["sleep", "1000"]).set("/annotations", json!({"k": "v"}));
    bundle.create().ok();
    let read = |path: &str| std::fs::read_to_string(bundle.path().join(path)).expect(path);
    let kinds =
        |text: &str| text.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(kinds(&read("log")), ["prestart", "createRuntime", "createContainer"]);
    assert!(!bundle.root().join("tmp/log").exists());
    let pid = bundle.pid();
    let inside = common::namespace_of(pid, "mnt");
    bundle.cli(&["start", &bundle.id]).ok();
    assert_eq!(kinds(&read("log"))[3..], ["poststart"]);
    let start_container = read("rootfs/tmp/log");
    bundle.cli(&["delete", "--force", &bundle.id]).ok();
    let log = read("log");
    assert_eq!(kinds(&log)[4..], ["poststop"]);

    let all = format!("{log}{start_container}");
    let host = common::namespace_of("self", "mnt");
    for (kind, status, namespace, has_pid) in [
        ("prestart", "creating", &host, true),
        ("createRuntime", "creating", &host, true),
        ("createContainer", "creating", &inside, false),
        ("startContainer", "created", &inside, false),
        ("poststart", "running", &host, true),
        ("poststop", "stopped", &host, false),
    ] {
        let line = all.lines().find(|line| line.starts_with(kind)).expect(kind);
        let json = line.split_once(' ').expect("state").1.split(" mnt:").next().expect("state");
        let state: Value =
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{kind}: {error}: {json}"));
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], bundle.id, "{kind}");
        assert_eq!(state["annotations"]["k"], "v", "{kind}");
        assert_eq!(state["bundle"], bundle.path().to_str().expect("utf-8"), "{kind}");
        if has_pid {
            assert_eq!(state["pid"], pid, "{kind}");
        }
        assert!(line.contains(namespace.as_str()), "{kind} runs in {namespace}: {line}");
        assert!(line.trim_end().ends_with("ONLY=this"), "{kind} has its own environment: {line}");
    }
}

#[test]
fn a_failing_hook_ends_the_container() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::new().set(
            "/hooks",
            json!({kind: [{"path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 5"]}]}),
        );
        let text = bundle.create().fails_with(&format!("error running {kind} hook"));
        assert!(text.contains("broken"), "{text}");
        assert!(!bundle.state_root().join(&bundle.id).exists(), "{kind}");
        assert!(!bundle.cgroup("pids").exists(), "{kind}");
    }
    for kind in ["startContainer", "poststart"] {
        let bundle =
            Bundle::new().args(&["sleep", "1000"]).set("/hooks", json!({kind: [{"path": "/bin/false"}]}));
        std::os::unix::fs::symlink("busybox", bundle.root().join("bin/false")).expect("symlink");
        bundle.create().ok();
        bundle.cli(&["start", &bundle.id]).fails_with(&format!("error running {kind} hook"));
        common::wait_until(|| bundle.state()["status"] == "stopped");
    }
}

#[test]
fn a_process_that_is_not_where_it_should_be_is_killed() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let elsewhere = bundle.cgroup("pids").with_file_name(format!("{}-elsewhere", bundle.id));
    std::fs::create_dir(&elsewhere).expect("cgroup");
    let pid = bundle.path().join("pid");
    let script = format!(
        "sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' > {0}; cat {0} > {1}/cgroup.procs",
        pid.display(),
        elsewhere.display()
    );
    let bundle = bundle.set(
        "/hooks",
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}]}),
    );
    let outcome = bundle.create();
    let pid = std::fs::read_to_string(&pid).expect("pid");
    let gone = !std::path::Path::new("/proc").join(pid.trim()).exists();
    std::fs::remove_dir(&elsewhere).expect("an empty cgroup");
    let text = outcome.fails_with("cgroup");
    assert!(text.contains("was killed") && gone, "{text}");
    bundle.cli(&["state", &bundle.id]).fails_with("does not exist");
}
