//! Namespaces: new, joined, with maps; what is set in them.
#![allow(missing_docs)]

mod common;

use std::os::unix::fs::chown;
use std::path::Path;

use common::{Bundle, namespace_of};
use serde_json::json;

const KINDS: [&str; 6] = ["pid", "net", "ipc", "uts", "mnt", "cgroup"];

#[test]
fn all_asked_for_are_new_and_the_others_the_hosts() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let pid = bundle.start().pid();
    for kind in KINDS {
        assert_ne!(namespace_of(pid, kind), namespace_of("self", kind), "{kind}");
    }
    assert_eq!(namespace_of(pid, "user"), namespace_of("self", "user"));
    let bundle = Bundle::new().args(&["sleep", "1000"]).without_namespace("network").without_namespace("ipc");
    let pid = bundle.start().pid();
    assert_eq!(namespace_of(pid, "net"), namespace_of("self", "net"));
    assert_eq!(namespace_of(pid, "ipc"), namespace_of("self", "ipc"));
}

#[test]
fn exec_enters_the_same_ones() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let pid = bundle.start().pid();
    let inside = bundle
        .exec(&["sh", "-c", "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done"])
        .ok();
    let expected: Vec<_> = KINDS.iter().map(|kind| namespace_of(pid, kind)).collect();
    assert_eq!(inside.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn others_are_joined_by_path() {
    let first = Bundle::new().args(&["sleep", "1000"]);
    let pid = first.start().pid();
    let mut second = Bundle::new().args(&["sleep", "1000"]);
    for (kind, file) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        second = second.namespace(json!({"type": kind, "path": format!("/proc/{pid}/ns/{file}")}));
    }
    second = second.set("/hostname", json!("renamed"));
    let other = second.start().pid();
    for kind in ["pid", "net", "ipc", "uts"] {
        assert_eq!(namespace_of(pid, kind), namespace_of(other, kind), "{kind}");
    }
    assert_ne!(namespace_of(pid, "mnt"), namespace_of(other, "mnt"));
    assert_eq!(first.exec(&["hostname"]).ok(), "renamed\n");
    let processes = second.exec(&["ps"]).ok();
    assert_eq!(processes.matches("sleep 1000").count(), 2, "{processes}");
    second.cli(&["kill", &second.id, "KILL"]).ok();
    second.cli(&["delete", "--force", &second.id]).ok();
    assert_eq!(first.state()["status"], "running");
}

fn with_user_namespace(bundle: Bundle) -> Bundle {
    let own = |path: &Path| chown(path, Some(100_000), Some(100_000)).expect("chown");
    own(&bundle.root());
    for entry in std::fs::read_dir(bundle.root()).expect("read") {
        own(&entry.expect("entry").path());
    }
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    bundle
        .namespace(json!({"type": "user"}))
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/process/user", json!({"uid": 5, "gid": 6, "additionalGids": [7]}))
}

#[test]
fn a_user_namespace_has_its_maps() {
    let bundle = with_user_namespace(Bundle::new())
        .shell("id -u; id -G; cat /proc/self/uid_map; echo x > /dev/null && echo null; cat /proc/1/oom_score_adj >/dev/null")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    let text = bundle.run().ok();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["5", "6 7"]);
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    assert_eq!(lines[3], "null", "the host's null device is bound");
}

#[test]
fn exec_and_join_work_with_a_user_namespace() {
    let first = with_user_namespace(Bundle::new()).args(&["sleep", "1000"]);
    let pid = first.start().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(status.contains("\nUid:\t100005"), "{status}");
    assert_eq!(first.exec(&["id", "-u"]).ok(), "5\n");
    assert_eq!(first.exec(&["readlink", "/proc/self/ns/user"]).ok().trim(), namespace_of(pid, "user"));

    // Another container in the same user namespace, with a PID namespace of its own that belongs to it.
    let second = with_user_namespace(Bundle::new())
        .args(&["sleep", "1000"])
        .namespace(json!({"type": "user", "path": format!("/proc/{pid}/ns/user")}))
        .namespace(json!({"type": "network", "path": format!("/proc/{pid}/ns/net")}));
    let other = second.start().pid();
    assert_eq!(namespace_of(pid, "user"), namespace_of(other, "user"));
    assert_eq!(namespace_of(pid, "net"), namespace_of(other, "net"));
    assert_ne!(namespace_of(pid, "pid"), namespace_of(other, "pid"));
    assert_eq!(second.exec(&["sh", "-c", "echo $$; id -u"]).ok().lines().last(), Some("5"));
}

#[test]
fn names_of_the_host() {
    let bundle = Bundle::new()
        .set("/domainname", json!("example.test"))
        .shell("hostname; cat /proc/sys/kernel/domainname");
    assert_eq!(bundle.run().ok(), "inside\nexample.test\n");
    Bundle::new().without_namespace("uts").run().fails_with("hostname");
}

#[test]
fn sysctls_of_own_namespaces_are_set() {
    let bundle = Bundle::new()
        .set(
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "777", "fs.mqueue.msg_max": "11"}),
        )
        .shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max");
    assert_eq!(bundle.run().ok(), "1\n777\n11\n");
    Bundle::new()
        .without_namespace("network")
        .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}))
        .run()
        .fails_with("needs a network namespace");
}

#[test]
fn a_time_namespace_has_its_offsets() {
    if !Path::new("/proc/self/ns/time").exists() {
        return common::skip("a_time_namespace_has_its_offsets", "this kernel has no time namespaces");
    }
    let bundle = Bundle::new()
        .namespace(json!({"type": "time"}))
        .set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000_000}}))
        .shell("cat /proc/uptime");
    let uptime = bundle.run().ok();
    assert!(
        uptime.split('.').next().expect("seconds").parse::<u64>().expect("number") >= 1_000_000_000,
        "{uptime}"
    );
}

#[test]
fn a_mapping_without_a_namespace_is_refused() {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1}]);
    Bundle::new().set("/linux/uidMappings", map).run().fails_with("linux.uidMappings");
    Bundle::new().namespace(json!({"type": "user"})).run().fails_with("linux.uidMappings");
    Bundle::new()
        .namespace(json!({"type": "network", "path": "/nowhere"}))
        .run()
        .fails_with("linux.namespaces");
}

#[test]
fn the_cgroup_namespace_begins_at_the_containers_cgroup() {
    let bundle = Bundle::new().shell("cat /proc/self/cgroup");
    for line in bundle.run().ok().lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
    let bundle = Bundle::new().without_namespace("cgroup").shell("cat /proc/self/cgroup; ls /sys/fs/cgroup");
    let text = bundle.run().ok();
    assert!(text.lines().filter(|line| line.contains(':')).all(|line| line.ends_with(&bundle.id)), "{text}");
}
