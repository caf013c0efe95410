#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn container(name: &str) -> DesiredContainer {
    DesiredContainer {
        name: name.into(),
        hash: "h".into(),
        sidecar: false,
        startup_probe: false,
        liveness_grace: None,
        startup_grace: None,
    }
}

fn desired(restart: RestartPolicy, containers: &[&str]) -> Desired {
    Desired {
        restart,
        init: Vec::new(),
        containers: containers.iter().map(|name| container(name)).collect(),
        grace: Duration::from_secs(30),
        deadline: None,
        ending: None,
        refused: None,
    }
}

fn instance(id: &str, state: State) -> Instance {
    Instance {
        id: id.into(),
        sandbox: "s".into(),
        hash: "h".into(),
        restarts: 0,
        level: 1,
        state,
        started: false,
        unhealthy: None,
    }
}

fn observed(containers: &[(&str, Instance)]) -> Observed {
    let mut observed = Observed::nothing(at(0));
    observed.sandboxes.push(Sandbox { id: "s".into(), attempt: 0, ready: true });
    for (name, instance) in containers {
        observed.containers.entry((*name).into()).or_default().push(instance.clone());
    }
    observed
}

const RUNNING: State = State::Running { since: Timestamp::UNIX_EPOCH };

fn exited(seconds: i64, ran: u64, code: i32) -> State {
    State::Exited { ran: Duration::from_secs(ran), at: at(seconds), code }
}

fn start(container: &str, restarts: u32, level: u32) -> Action {
    Action::Start { container: container.into(), sandbox: "s".into(), restarts, level }
}

#[test]
fn a_new_pod_gets_a_sandbox_and_then_its_containers() {
    let desired = desired(RestartPolicy::Always, &["a", "b"]);
    let first = plan(&desired, &Observed::nothing(at(0)), at(0));
    assert_eq!(first.actions, [Action::CreateSandbox { attempt: 0 }]);
    assert_eq!(first.waiting["a"], Waiting::Sandbox);
    let second = plan(&desired, &observed(&[]), at(0));
    assert_eq!(second.actions, [start("a", 0, 0), start("b", 0, 0)]);
}

#[test]
fn nothing_is_begun_for_a_task_that_is_under_way() {
    let desired = desired(RestartPolicy::Always, &["a", "b"]);
    let mut seen = observed(&[]);
    seen.doing.insert(Task::Container("a".into()), Doing::Starting);
    assert_eq!(plan(&desired, &seen, at(0)).actions, [start("b", 0, 0)]);
}

#[test]
fn restarts_follow_the_policy() {
    for (policy, code, restarts) in [
        (RestartPolicy::Always, 0, true),
        (RestartPolicy::Always, 1, true),
        (RestartPolicy::OnFailure, 0, false),
        (RestartPolicy::OnFailure, 1, true),
        (RestartPolicy::Never, 0, false),
        (RestartPolicy::Never, 1, false),
    ] {
        let seen = observed(&[("a", instance("1", exited(0, 1, code))), ("b", instance("2", RUNNING))]);
        let plan = plan(&desired(policy, &["a", "b"]), &seen, at(1000));
        assert_eq!(plan.actions.contains(&start("a", 1, 2)), restarts, "{policy:?} {code}");
    }
}

#[test]
fn back_off_is_10_seconds_doubling_to_5_minutes_and_forgets_after_10_minutes() {
    let seconds: Vec<u64> = (0..9).map(|level| crash_delay(level).as_secs()).collect();
    assert_eq!(seconds, [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(crash_delay(u32::MAX).as_secs(), 300);
    for (level, ran, now, wake) in
        [(0, 1, 0, None), (1, 1, 5, Some(10)), (3, 599, 39, Some(40)), (3, 600, 0, None)]
    {
        let mut one = instance("1", exited(0, ran, 1));
        one.level = level;
        let plan = plan(&desired(RestartPolicy::Always, &["a"]), &observed(&[("a", one)]), at(now));
        assert_eq!(plan.wake_at, wake.map(at), "level {level} ran {ran}");
        assert_eq!(plan.actions.is_empty(), wake.is_some());
    }
}

#[test]
fn a_changed_container_is_replaced_without_back_off() {
    let mut old = instance("1", RUNNING);
    old.hash = "other".into();
    let wanted = desired(RestartPolicy::Always, &["a"]);
    let plan_one = plan(&wanted, &observed(&[("a", old.clone())]), at(0));
    assert!(matches!(&plan_one.actions[..], [Action::Kill { why: Why::Changed, .. }]));
    old.state = exited(0, 1, 137);
    old.level = 5;
    assert_eq!(plan(&wanted, &observed(&[("a", old)]), at(0)).actions, [start("a", 1, 0)]);
}

#[test]
fn an_unhealthy_container_is_killed_with_its_probes_grace() {
    let mut wanted = desired(RestartPolicy::Always, &["a"]);
    wanted.containers[0].liveness_grace = Some(Duration::from_secs(3));
    let mut sick = instance("1", RUNNING);
    sick.unhealthy = Some(Unhealthy { probe: ProbeKind::Liveness });
    let plan = plan(&wanted, &observed(&[("a", sick)]), at(0));
    assert!(matches!(&plan.actions[..], [Action::Kill { grace, .. }] if *grace == Duration::from_secs(3)));
}

#[test]
fn a_broken_sandbox_is_stopped_before_the_next_is_made() {
    let wanted = desired(RestartPolicy::Always, &["a"]);
    let mut seen = observed(&[("a", instance("1", RUNNING))]);
    seen.sandboxes[0].ready = false;
    assert_eq!(plan(&wanted, &seen, at(0)).actions, [Action::StopSandbox { id: "s".into() }]);
    seen.containers.get_mut("a").unwrap()[0].state = exited(0, 1, 137);
    assert_eq!(plan(&wanted, &seen, at(0)).actions, [Action::CreateSandbox { attempt: 1 }]);
}

#[test]
fn ending_kills_waits_stops_removes_and_is_gone() {
    let mut wanted = desired(RestartPolicy::Always, &["a"]);
    wanted.ending = Some(Ending { since: at(0), grace: Duration::from_secs(30) });
    let mut seen = observed(&[("a", instance("1", RUNNING))]);
    let kill = plan(&wanted, &seen, at(10)).actions;
    assert!(
        matches!(&kill[..], [Action::Kill { grace, .. }] if *grace == Duration::from_secs(20)),
        "{kill:?}"
    );
    seen.doing.insert(Task::Container("a".into()), Doing::Killing { until: at(30) });
    assert!(plan(&wanted, &seen, at(11)).actions.is_empty());
    // A shorter grace overtakes the kill under way.
    wanted.ending = Some(Ending { since: at(0), grace: Duration::from_secs(12) });
    assert!(matches!(&plan(&wanted, &seen, at(11)).actions[..], [Action::Kill { .. }]));
    seen.doing.clear();
    seen.containers.get_mut("a").unwrap()[0].state = exited(12, 1, 143);
    assert_eq!(plan(&wanted, &seen, at(12)).actions, [Action::StopSandbox { id: "s".into() }]);
    seen.sandboxes[0].ready = false;
    assert_eq!(plan(&wanted, &seen, at(12)).actions, [Action::RemoveSandbox { id: "s".into() }]);
    seen.sandboxes.clear();
    seen.containers.clear();
    assert_eq!(plan(&wanted, &seen, at(12)).outcome, Outcome::Gone);
}

#[test]
fn sidecars_end_last_and_from_the_last_to_the_first() {
    let mut wanted = desired(RestartPolicy::Always, &["a"]);
    for name in ["s1", "s2"] {
        wanted.init.push(DesiredContainer { sidecar: true, ..container(name) });
    }
    wanted.ending = Some(Ending { since: at(0), grace: Duration::from_secs(30) });
    let mut seen = observed(&[
        ("a", instance("1", RUNNING)),
        ("s1", instance("2", RUNNING)),
        ("s2", instance("3", RUNNING)),
    ]);
    for name in ["a", "s2", "s1"] {
        let actions = plan(&wanted, &seen, at(1)).actions;
        assert!(matches!(&actions[..], [Action::Kill { container, .. }] if container == name), "{actions:?}");
        seen.containers.get_mut(name).unwrap()[0].state = exited(1, 1, 0);
    }
    assert_eq!(plan(&wanted, &seen, at(1)).actions, [Action::StopSandbox { id: "s".into() }]);
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Created),
        Just(RUNNING),
        Just(State::Unknown),
        (0i64..100, 0u64..2000, 0i32..3).prop_map(|(at, ran, code)| exited(at, ran, code)),
    ]
}

fn any_instance() -> impl Strategy<Value = Instance> {
    (any_state(), 0u32..8, 0u32..8, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(state, restarts, level, here, same, started)| Instance {
            sandbox: if here { "s" } else { "old" }.into(),
            hash: if same { "h" } else { "x" }.into(),
            restarts,
            level,
            started,
            ..instance("id", state)
        },
    )
}

prop_compose! {
    fn any_observed()(
        ready in any::<bool>(),
        sandboxes in 0usize..3,
        instances in proptest::collection::vec(proptest::collection::vec(any_instance(), 0..4), 3),
        doing in proptest::collection::vec(0u8..5, 4),
    ) -> Observed {
        let mut observed = Observed::nothing(at(0));
        for n in 0..sandboxes {
            let id = if n == 0 { "s" } else { "old" }.to_owned();
            observed.sandboxes.push(Sandbox { id, attempt: 9 - n as u32, ready: ready && n == 0 });
        }
        for (name, list) in ["a", "b", "i"].iter().zip(instances) {
            if !list.is_empty() {
                observed.containers.insert((*name).into(), list);
            }
        }
        let tasks = ["a", "b", "i"].iter().map(|n| Task::Container((*n).into())).chain([Task::Sandbox]);
        for (task, doing) in tasks.zip(doing) {
            let doing = match doing {
                0 => Doing::Starting,
                1 => Doing::Killing { until: at(50) },
                2 => Doing::Removing,
                _ => continue,
            };
            observed.doing.insert(task, doing);
        }
        observed
    }
}

proptest! {
    #[test]
    fn any_plan_keeps_the_rules(
        seen in any_observed(),
        ends in any::<bool>(),
        sidecar in any::<bool>(),
        policy in prop_oneof![Just(RestartPolicy::Always), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Never)],
        now in 0i64..1000,
    ) {
        let mut wanted = desired(policy, &["a", "b"]);
        wanted.init.push(DesiredContainer { sidecar, ..container("i") });
        if ends {
            wanted.ending = Some(Ending { since: at(0), grace: Duration::from_secs(30) });
        }
        let plan = plan(&wanted, &seen, at(now));
        let mut tasks = Vec::new();
        for action in &plan.actions {
            // One action for each task, and none beside one under way but to hurry it.
            prop_assert!(!tasks.contains(&action.task()), "{:?}", plan.actions);
            tasks.push(action.task());
            let hurries = matches!(action, Action::Kill { .. } | Action::Cancel { .. });
            prop_assert!(hurries || !seen.doing.contains_key(&action.task()), "{action:?}");
            if let Action::Start { container, sandbox, .. } = action {
                prop_assert!(!ends);
                // Nothing starts beside a live instance, nor outside of a ready sandbox.
                let live = seen.containers.get(container).is_some_and(|l| {
                    l.first().is_some_and(|i| i.is_live() && i.sandbox == *sandbox)
                });
                prop_assert!(!live, "{action:?}");
                prop_assert!(seen.sandboxes.first().is_some_and(|s| s.ready && s.id == *sandbox));
            }
            if let Action::RemoveContainer { id: _, container } = action {
                prop_assert!(seen.containers[container].iter().any(|i| !i.is_live()));
            }
            if let Action::CreateSandbox { .. } = action {
                prop_assert!(!seen.sandboxes.first().is_some_and(|s| s.ready));
            }
        }
        if let Some(wake) = plan.wake_at {
            prop_assert!(wake > at(now), "it would wake in the past");
        }
        if plan.outcome == Outcome::Gone {
            prop_assert!(ends && seen.sandboxes.is_empty());
        }
        // Something is always next: an action, one under way, a time, or nothing because all is as it should be.
        let waits = plan.waiting.values().any(|w| !matches!(w, Waiting::Init));
        let idle = plan.actions.is_empty() && seen.doing.is_empty() && plan.wake_at.is_none();
        prop_assert!(!(waits && idle), "waits for nothing: {:?}", plan);
    }
}
