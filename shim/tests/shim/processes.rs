use std::fs;

use crate::pod::{Pod, eventually, is_alive};

/// Processes whose parent is `pid`, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let mut all: Vec<u32> = children.split_whitespace().map(|child| child.parse().unwrap()).collect();
    for child in all.clone() {
        all.extend(descendants(child));
    }
    all
}

#[test]
fn nothing_outlives_a_killed_shim() {
    for options in [&[][..], &["--share-pid"]] {
        let mut pod = Pod::with(options);
        pod.run(&pod.script("a", "sleep 1000 & sleep 1000 & echo up; wait"));
        pod.create(&pod.script("b", "true")).unwrap();
        pod.await_log("a", "stdout F up");
        let all = descendants(pod.pong.pid);
        assert!(all.len() >= 5, "{all:?}");
        pod.shim.kill().unwrap();
        pod.shim.wait().unwrap();
        eventually("the end of all processes", || !all.iter().any(|pid| is_alive(*pid)));
    }
}

#[test]
fn containers_that_share_pids_see_each_other_and_leave_nothing() {
    let pod = Pod::with(&["--share-pid"]);
    pod.run(&pod.script("a", "sleep 1234 & echo up; read x < /dev/zero"));
    pod.await_log("a", "stdout F up");
    pod.run(&pod.script("b", "ps; cat /proc/1/comm; ls /proc/1/root | head"));
    assert_eq!(pod.wait("b", "").exit_code, 0);
    let seen = pod.log("b").join("\n");
    assert!(seen.contains("sleep 1234") && seen.contains("stdout F reeve-pod-init"), "{seen}");
    // Nothing of the host is reachable through the init.
    assert!(!seen.contains("stdout F bin"), "{seen}");

    let before = descendants(pod.pong.pid);
    pod.signal("a", "", libc::SIGKILL, false).unwrap();
    pod.wait("a", "");
    let rest = |pid: &u32| is_alive(*pid) && *pid != pod.pong.pod_init_pid;
    eventually("the end of what the first process left", || !before.iter().any(rest));
    assert!(is_alive(pod.pong.pod_init_pid));
    pod.shut_down();
}

#[test]
fn pids_of_a_container_are_its_own_otherwise() {
    let pod = Pod::new();
    let pid = pod.run(&pod.script("c", "echo $$; exec sleep 1000"));
    pod.await_log("c", "stdout F 1");
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    assert_eq!(pod.pong.pod_init_pid, 0);
    assert_ne!(namespace(pid), namespace(pod.pong.pid));
    pod.shut_down();
}

#[test]
fn on_the_hosts_pids_what_is_left_is_killed_through_the_cgroup() {
    let pod = Pod::new();
    let mut plan = pod.script("c", "sleep 4321 & echo $!; wait");
    plan.host_pids = true;
    pod.run(&plan);
    eventually("its child", || !pod.log("c").is_empty());
    let child: u32 = pod.log("c")[0].rsplit(' ').next().unwrap().parse().unwrap();
    assert!(is_alive(child));
    pod.signal("c", "", libc::SIGKILL, false).unwrap();
    pod.wait("c", "");
    eventually("the end of its child", || !is_alive(child));
    pod.shut_down();
}

#[test]
fn signals_that_end_other_processes_do_not_end_the_shim() {
    let pod = Pod::new();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: kill(2) has no preconditions.
        assert_eq!(unsafe { libc::kill(pod.pong.pid as i32, signal) }, 0);
    }
    // The container gets ordinary signals all the same.
    pod.run(&pod.script("c", "cat /proc/self/status | head -n 60; exec sleep 1000"));
    eventually("its status", || pod.log("c").iter().any(|line| line.contains("SigIgn")));
    let masks = pod.log("c");
    let mask = |name: &str| masks.iter().find(|line| line.contains(name)).unwrap().clone();
    for name in ["SigBlk", "SigIgn"] {
        assert!(mask(name).ends_with("0000000000000000"), "{}", mask(name));
    }
    pod.shut_down();
}
