use reeve_proto::shim::{Stats, StatsReply, Update, event, request, response};
use serde_json::json;

use crate::pod::{Plan, Pod};

fn stats(pod: &Pod, ids: &[&str]) -> StatsReply {
    let container_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    match pod.ask(request::Kind::Stats(Stats { container_ids })) {
        Ok(response::Kind::Stats(stats)) => stats,
        other => panic!("{other:?}"),
    }
}

fn limited(pod: &Pod, id: &str, script: &str) -> Plan {
    let limit = 32 << 20;
    Plan { resources: json!({ "memory": { "limit": limit, "swap": limit } }), ..pod.script(id, script) }
}

#[test]
fn counters_and_new_limits() {
    let pod = Pod::new();
    pod.run(&limited(&pod, "c", "exec sleep 1000"));
    pod.run(&pod.script("d", "exec sleep 1000"));
    let before = stats(&pod, &["c"]).containers.remove(0);
    assert_eq!((before.container_id.as_str(), before.memory_limit_bytes, before.pids), ("c", 32 << 20, 1));
    assert!(before.memory_usage_bytes > 0 && before.cpu_usage_ns > 0 && before.timestamp_ns > 0);
    let resources = json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 } }).to_string().into();
    pod.ask(request::Kind::Update(Update { container_id: "c".into(), resources })).unwrap();
    let all = stats(&pod, &[]).containers;
    let limit = |id: &str| all.iter().find(|stats| stats.container_id == id).unwrap().memory_limit_bytes;
    assert_eq!((limit("c"), limit("d")), (64 << 20, 0));
    pod.shut_down();
}

#[test]
fn a_container_killed_for_memory_says_so() {
    let pod = Pod::new();
    let plan =
        Plan { args: ["/bin/tail", "/dev/zero"].map(str::to_owned).to_vec(), ..limited(&pod, "c", "") };
    pod.run(&plan);
    let exit = pod.wait("c", "");
    assert_eq!((exit.exit_code, exit.oom_killed), (137, true));
    pod.shut_down();
}

#[test]
fn a_kill_for_memory_that_the_container_outlives_is_an_event() {
    let pod = Pod::new();
    let mut events = pod.subscribe();
    pod.run(&limited(&pod, "c", "tail /dev/zero; exec sleep 1000"));
    match events.event() {
        event::Kind::OomKill(kill) => assert_eq!((kill.container_id.as_str(), kill.count), ("c", 1)),
        other => panic!("{other:?}"),
    }
    pod.signal("c", "", 9, true).unwrap();
    assert_eq!(events.exit().exit_code, 137);
    pod.shut_down();
}

/// Kilobytes of `field` in smaps_rollup, over the shim and its guard.
fn memory(pod: &Pod, guard: &str, field: &str) -> u64 {
    let of = |pid: &str| -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    of(&pod.pong.pid.to_string()) + of(guard)
}

#[test]
fn a_pod_costs_little_memory_and_gives_back_what_a_burst_took() {
    let pod = Pod::new();
    // Before any container the guard is the only child.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", pod.pong.pid)).unwrap();
    let memory = |field| memory(&pod, children.trim(), field);
    let begin = (memory("Pss:"), memory("Pss_Anon:"));
    pod.run(&pod.script("b", "yes | head -c 10000000"));
    pod.wait("b", "");
    pod.run(&pod.script("c", "exec sleep 1000"));
    let with_one = (memory("Pss:"), memory("Pss_Anon:"));
    eprintln!(
        "PSS and its anonymous part, kB: {begin:?} at the start, {with_one:?} after a burst, with one container"
    );
    // What is not shared with other pods. A position-independent debug binary has most of it in relocations.
    assert!(with_one.1 < 1024, "{with_one:?}");
    pod.shut_down();
}
