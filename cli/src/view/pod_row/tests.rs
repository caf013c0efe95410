//! The table of kubectl's own printer tests, in our words: status in, cells out.

use super::*;
use crate::view::fixtures::{now, pod};
use serde_json::{Value, json};

/// READY, STATUS and RESTARTS of a pod with two containers `a`, `b` and the given status.
fn cells(init: Value, status: Value) -> (String, String, String) {
    cells_of(json!({
        "metadata": {"name": "p"},
        "spec": {"initContainers": init, "containers": [{"name": "a"}, {"name": "b"}]},
        "status": status,
    }))
}

fn cells_of(json: Value) -> (String, String, String) {
    let row = PodRow::of(&pod(json), now());
    (row.ready, row.status, row.restarts)
}

fn status(name: &str, ready: bool, restarts: i32, state: Value) -> Value {
    json!({"name": name, "ready": ready, "restartCount": restarts, "image": "", "imageID": "", "state": state})
}

fn expect(got: (String, String, String), ready: &str, word: &str, restarts: &str) {
    assert_eq!(got, (ready.to_owned(), word.to_owned(), restarts.to_owned()));
}

#[test]
fn running_and_half_ready() {
    let a = status("a", true, 0, json!({"running": {}}));
    let b = status("b", false, 3, json!({"running": {}}));
    let got = cells(json!([]), json!({"phase": "Running", "containerStatuses": [a, b]}));
    expect(got, "1/2", "Running", "3");
}

#[test]
fn nothing_reported_yet() {
    expect(cells(json!([]), json!({})), "0/2", "Pending", "0");
    expect(cells_of(json!({"spec": {"containers": [{"name": "a"}]}})), "0/1", "Pending", "0");
}

#[test]
fn the_first_containers_reason_wins() {
    let a = status("a", false, 4, json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    let b = status("b", false, 1, json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
    let got = cells(json!([]), json!({"phase": "Running", "containerStatuses": [a, b]}));
    expect(got, "0/2", "CrashLoopBackOff", "5");
}

#[test]
fn oom_killed_is_shown_while_terminated() {
    let a = status("a", false, 1, json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}));
    let b = status("b", true, 0, json!({"running": {}}));
    let got = cells(json!([]), json!({"phase": "Running", "containerStatuses": [a, b]}));
    expect(got, "1/2", "OOMKilled", "1");
}

#[test]
fn a_restart_is_dated() {
    let mut a = status("a", true, 2, json!({"running": {}}));
    a["lastState"] = json!({"terminated": {"exitCode": 1, "finishedAt": "2026-11-21T11:56:48Z"}});
    let got = cells(json!([]), json!({"phase": "Running", "containerStatuses": [a]}));
    expect(got, "1/2", "Running", "2 (3m12s ago)");
}

#[test]
fn no_reason_leaves_code_or_signal() {
    let code = status("a", false, 0, json!({"terminated": {"exitCode": 7}}));
    let got = cells(json!([]), json!({"phase": "Failed", "containerStatuses": [code]}));
    expect(got, "0/2", "ExitCode:7", "0");
    let signal = status("a", false, 0, json!({"terminated": {"exitCode": 137, "signal": 9}}));
    let got = cells(json!([]), json!({"phase": "Failed", "containerStatuses": [signal]}));
    expect(got, "0/2", "Signal:9", "0");
}

#[test]
fn completed_beside_a_running_container() {
    let a = status("a", false, 0, json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    let b = status("b", true, 0, json!({"running": {}}));
    let statuses = json!([a, b]);
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let got =
        cells(json!([]), json!({"phase": "Running", "conditions": ready, "containerStatuses": statuses}));
    expect(got, "1/2", "Running", "0");
    let got = cells(json!([]), json!({"phase": "Running", "containerStatuses": statuses}));
    expect(got, "1/2", "NotReady", "0");
}

#[test]
fn all_completed() {
    let done = |name| status(name, false, 0, json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    let got = cells(json!([]), json!({"phase": "Succeeded", "containerStatuses": [done("a"), done("b")]}));
    expect(got, "0/2", "Completed", "0");
}

#[test]
fn init_containers_count_up() {
    let spec = json!([{"name": "i"}, {"name": "j"}]);
    let done = status("i", true, 0, json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    let runs = status("j", false, 0, json!({"running": {}}));
    let waits = status("j", false, 0, json!({"waiting": {"reason": "PodInitializing"}}));
    for second in [runs, waits] {
        let got =
            cells(spec.clone(), json!({"phase": "Pending", "initContainerStatuses": [done.clone(), second]}));
        expect(got, "0/2", "Init:1/2", "0");
    }
}

#[test]
fn init_failures_are_named() {
    let table = [
        (json!({"terminated": {"exitCode": 1, "reason": "Error"}}), "Init:Error"),
        (json!({"terminated": {"exitCode": 2}}), "Init:ExitCode:2"),
        (json!({"terminated": {"exitCode": 143, "signal": 15}}), "Init:Signal:15"),
        (json!({"waiting": {"reason": "CrashLoopBackOff"}}), "Init:CrashLoopBackOff"),
        (json!({"waiting": {"reason": "ImagePullBackOff"}}), "Init:ImagePullBackOff"),
    ];
    for (state, word) in table {
        let init = status("i", false, 2, state);
        let waiting = status("a", false, 0, json!({"waiting": {"reason": "PodInitializing"}}));
        let status =
            json!({"phase": "Pending", "initContainerStatuses": [init], "containerStatuses": [waiting]});
        expect(cells(json!([{"name": "i"}]), status), "0/2", word, "2");
    }
}

#[test]
fn restarts_of_plain_init_containers_are_forgotten_once_initialised() {
    let init = status("i", true, 5, json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    let a = status("a", true, 1, json!({"running": {}}));
    let got = cells(
        json!([{"name": "i"}]),
        json!({"phase": "Running", "initContainerStatuses": [init], "containerStatuses": [a]}),
    );
    expect(got, "1/2", "Running", "1");
}

#[test]
fn sidecars_count_as_containers() {
    let mut init = status("s", true, 2, json!({"running": {}}));
    init["started"] = json!(true);
    let a = status("a", true, 1, json!({"running": {}}));
    let b = status("b", true, 0, json!({"running": {}}));
    let got = cells(
        json!([{"name": "s", "restartPolicy": "Always"}]),
        json!({"phase": "Running", "initContainerStatuses": [init], "containerStatuses": [a, b]}),
    );
    expect(got, "3/3", "Running", "3");
}

#[test]
fn deletion_shows_as_terminating_until_the_end() {
    let deleted = |status: Value| {
        cells_of(json!({
            "metadata": {"name": "p", "deletionTimestamp": "2026-11-21T11:59:00Z"},
            "spec": {"containers": [{"name": "a"}]}, "status": status,
        }))
    };
    expect(deleted(json!({"phase": "Running"})), "0/1", "Terminating", "0");
    expect(deleted(json!({"phase": "Succeeded"})), "0/1", "Succeeded", "0");
    expect(deleted(json!({"phase": "Running", "reason": "NodeLost"})), "0/1", "Unknown", "0");
}

#[test]
fn reasons_of_the_pod_itself() {
    expect(cells(json!([]), json!({"phase": "Failed", "reason": "Evicted"})), "0/2", "Evicted", "0");
    let gated = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]});
    expect(cells(json!([]), gated), "0/2", "SchedulingGated", "0");
}

#[test]
fn ports_on_the_node() {
    let ports = |spec: Value| PodRow::of(&pod(json!({ "spec": spec })), now()).node_port;
    let web = json!({"name": "a", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 9}]});
    let dns = json!({"name": "b", "ports": [{"containerPort": 53, "hostPort": 53, "protocol": "UDP"}]});
    assert_eq!(ports(json!({"containers": [web, dns]})), "8080->80/TCP,53->53/UDP");
    assert_eq!(ports(json!({"containers": [{"name": "a"}]})), "<none>");
    let host = json!({"name": "a", "ports": [{"containerPort": 80}]});
    assert_eq!(ports(json!({"hostNetwork": true, "containers": [host]})), "80/TCP");
}
