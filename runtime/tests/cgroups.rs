//! The container's cgroup: limits, devices, counters, killing. On v1, hybrid and v2.
#![allow(missing_docs)]

mod common;

use common::{Bundle, is_v2, skip, wait_until};
use serde_json::json;

fn read(bundle: &Bundle, controller: &str, v1: &str, v2: &str) -> String {
    let file = bundle.cgroup(controller).join(if is_v2() { v2 } else { v1 });
    std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .trim()
        .to_owned()
}

#[test]
fn limits_are_set() {
    let bundle = Bundle::new().args(&["sleep", "1000"]).set(
        "/linux/resources",
        json!({
            "memory": {"limit": 33_554_432, "swap": 33_554_432, "reservation": 16_777_216}, "pids": {"limit": 55},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"}
        }),
    );
    bundle.start();
    assert_eq!(read(&bundle, "memory", "memory.limit_in_bytes", "memory.max"), "33554432");
    assert_eq!(read(&bundle, "memory", "memory.soft_limit_in_bytes", "memory.low"), "16777216");
    assert_eq!(read(&bundle, "pids", "pids.max", "pids.max"), "55");
    if is_v2() {
        assert_eq!(read(&bundle, "", "", "memory.swap.max"), "0", "swap equal to memory is none");
    }
    assert_eq!(read(&bundle, "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    if is_v2() {
        assert_eq!(read(&bundle, "cpu", "", "cpu.max"), "50000 100000");
    } else {
        assert_eq!(read(&bundle, "cpu", "cpu.cfs_quota_us", ""), "50000");
        assert_eq!(read(&bundle, "cpu", "cpu.shares", ""), "512");
    }
    // Every hierarchy holds the process.
    let pid = bundle.pid();
    let membership = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroup");
    for line in membership.lines() {
        assert!(line.ends_with(&format!(":/{}", bundle.id)), "{line}");
    }
}

#[test]
fn an_empty_path_stands_for_the_name() {
    let bundle = Bundle::new().args(&["sleep", "1000"]).set("/linux/cgroupsPath", json!(""));
    bundle.start();
    assert!(bundle.cgroup("pids").exists());
}

#[test]
fn a_used_cgroup_is_refused() {
    let first = Bundle::new().args(&["sleep", "1000"]);
    first.start();
    let second = Bundle::new().set("/linux/cgroupsPath", json!(format!("/{}", first.id)));
    second.create().fails_with("cgroup is not empty");
    assert_eq!(first.state()["status"], "running", "the first is unharmed");
}

#[test]
fn devices_outside_the_rules_do_not_open() {
    let script = "cat /dev/null && echo null; head -c 1 /dev/zero > /dev/null && echo zero; \
                  mknod /dev/kmsg2 c 1 11 && cat /dev/kmsg2; mknod /dev/mem2 c 1 1; echo end";
    let outcome = Bundle::new().shell(script).run();
    assert_eq!(outcome.stdout, "null\nzero\nend\n", "{outcome:?}");
    assert!(outcome.stderr.contains("/dev/kmsg2': Operation not permitted"), "{outcome:?}");
    // A device that this machine has and that takes no capability to open.
    let misc = std::fs::read_to_string("/proc/misc").expect("misc");
    let known = |name: &str| {
        let line = misc.lines().map(str::split_whitespace).find_map(|mut fields| {
            let minor = fields.next()?.parse::<u32>().ok()?;
            (fields.next()? == name).then_some(minor)
        });
        line.filter(|_| std::fs::File::open(format!("/dev/{name}")).is_ok())
    };
    let Some(minor) = ["fuse", "loop-control", "vhost-net", "hw_random", "rtc"].into_iter().find_map(known)
    else {
        return skip("devices_that_the_rules_name_open", "no harmless device is here");
    };
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": minor, "access": "r"}
    ]);
    let script = format!("mknod /dev/x c 10 {minor}; true < /dev/x && echo read; true > /dev/x");
    let outcome = Bundle::new().set("/linux/resources/devices", rules).shell(&script).run();
    assert!(outcome.stdout.contains("read"), "{outcome:?}");
    assert!(outcome.stderr.contains("Operation not permitted"), "writing was not allowed: {outcome:?}");
}

#[test]
fn kill_all_reaches_every_process() {
    let bundle = Bundle::new()
        .without_namespace("pid")
        .shell("for i in 1 2 3 4 5; do sleep 1000 & done; echo; exec sleep 1000");
    bundle.start();
    let procs = || std::fs::read_to_string(bundle.cgroup("pids").join("cgroup.procs")).unwrap_or_default();
    wait_until(|| procs().lines().count() == 6);
    bundle.cli(&["kill", "--all", &bundle.id, "KILL"]).ok();
    wait_until(|| procs().is_empty());
    wait_until(|| bundle.state()["status"] == "stopped");
    bundle.cli(&["delete", &bundle.id]).ok();
    assert!(!bundle.cgroup("pids").exists());
}

#[test]
fn delete_takes_what_the_first_process_left_behind() {
    let bundle = Bundle::new().without_namespace("pid").shell("sleep 1000 & sleep 1001 & exit 0");
    bundle.start();
    wait_until(|| bundle.state()["status"] == "stopped");
    bundle.cli(&["delete", &bundle.id]).ok();
    assert!(!bundle.cgroup("pids").exists());
}

#[test]
fn unified_files_are_written_on_v2_and_refused_on_v1() {
    let bundle = Bundle::new()
        .args(&["sleep", "1000"])
        .set("/linux/resources/unified", json!({"memory.high": "16777216", "pids.max": "44"}));
    if !is_v2() {
        bundle.create().fails_with("linux.resources.unified");
        return skip("unified_files_are_written_on_v2", "this machine has cgroup v1");
    }
    bundle.start();
    assert_eq!(read(&bundle, "", "", "memory.high"), "16777216");
    assert_eq!(read(&bundle, "", "", "pids.max"), "44");
}

#[test]
fn on_v2_the_process_is_born_in_its_cgroup_and_is_killed_by_the_kernel() {
    if !is_v2() {
        return skip("on_v2_the_process_is_born_in_its_cgroup", "this machine has cgroup v1");
    }
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    assert!(bundle.cgroup("").join("cgroup.kill").exists());
    bundle.cli(&["pause", &bundle.id]).ok();
    assert_eq!(read(&bundle, "", "", "cgroup.freeze"), "1");
    bundle.cli(&["kill", "--all", &bundle.id, "KILL"]).ok();
    wait_until(|| bundle.state()["status"] == "stopped");
}

/// On a hybrid machine a private mount namespace can show cgroup v2 alone: enough for what needs no controller.
#[test]
fn a_view_of_v2_runs_containers_with_device_rules() {
    if is_v2() {
        return skip("a_view_of_v2", "the whole machine has v2, the other tests show it");
    }
    let bundle = Bundle::new().shell(
        "cat /dev/null && echo null; mknod /dev/kmsg2 c 1 11 && cat /dev/kmsg2; cat /proc/self/cgroup; \
         grep ' /sys/fs/cgroup ' /proc/self/mountinfo",
    );
    bundle.write();
    let directory = bundle.path().to_owned();
    let run = |command: &str| {
        let script = format!("umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && {command}");
        common::outcome(
            std::process::Command::new("unshare")
                .args(["--mount", "--propagation", "private", "sh", "-c", &script])
                .current_dir(&directory),
        )
    };
    let cli = format!("{} --root {}", common::RUNTIME, bundle.state_root().display());
    let outcome = run(&format!("{cli} run {}", bundle.id));
    assert!(outcome.stdout.starts_with("null\n"), "{outcome:?}");
    assert!(outcome.stderr.contains("Operation not permitted"), "{outcome:?}");
    assert!(outcome.stdout.contains("0::/\n"), "{outcome:?}");
    assert!(outcome.stdout.contains("cgroup2"), "{outcome:?}");

    let bundle = bundle.without_namespace("pid").shell("sleep 1000 & sleep 1000 & exec sleep 1000");
    bundle.write();
    let id = &bundle.id;
    let outcome = run(&format!(
        "{cli} run -d {id} >/dev/null 2>&1 && {cli} pause {id} && {cli} state {id} && {cli} kill --all {id} KILL && \
         {cli} delete --force {id} && ! test -e /sys/fs/cgroup/{id}"
    ));
    assert!(outcome.ok().contains("paused"));
}
