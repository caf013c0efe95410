//! Lives of single pods, step by step.
#![allow(clippy::unwrap_used, missing_docs)]

mod simulated;
mod world;

use simulated::Faults;
use world::{World, pod};

#[tokio::test(start_paused = true)]
async fn a_pod_runs_is_edited_and_goes() {
    let world = World::new(1);
    world.declare(&[pod("web", &["sim/run"], "")]);
    world.pass(5).await;
    assert_eq!(world.phase("web"), "Running");
    assert!(world.is_ready("web"));
    let first = world.pod("web").unwrap();
    let status = first.status.clone().unwrap();
    assert_eq!(status.pod_ip.as_deref(), Some("10.88.0.2"));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    assert_eq!(first.spec.as_ref().unwrap().node_name.as_deref(), Some("localhost"));

    world.declare(&[pod("web", &["sim/run/2"], "")]);
    world.pass(10).await;
    let second = world.pod("web").unwrap();
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert!(world.is_ready("web"));

    world.declare(&[]);
    world.pass(10).await;
    assert!(world.handles.pods.list().is_empty());
    let state = world.sim.lock();
    assert!(state.sandboxes.is_empty() && state.containers.is_empty());
    drop(state);
    assert_eq!(std::fs::read_dir(world.root.path().join("root/pods")).unwrap().count(), 0);
    for reason in ["Pulling", "Pulled", "Created", "Started", "Killing"] {
        assert!(world.reasons().iter().any(|r| r == reason), "{reason}");
    }
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_backs_off_and_keeps_its_count_over_a_restart_of_the_agent() {
    let mut world = World::new(2);
    let manifest = [pod("crash", &["sim/exit/1/3"], "")];
    world.declare(&manifest);
    world.pass(40).await;
    let c = world.container("crash", "main-0");
    assert_eq!(c.state.clone().unwrap().waiting.unwrap().reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(c.last_state.clone().unwrap().terminated.unwrap().exit_code, 3);
    let before = c.restart_count;
    assert!((2..=4).contains(&before), "{before}");
    world.restart_agent().await;
    world.declare(&manifest);
    world.pass(2).await;
    assert_eq!(world.container("crash", "main-0").restart_count, before);
    world.pass(3600).await;
    // 0, 10, 20, 40, 80, 160 and then every 300 s.
    let restarts = world.container("crash", "main-0").restart_count;
    assert!((14..=18).contains(&restarts), "{restarts}");
    assert_eq!(world.phase("crash"), "Running");
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_well_or_badly_and_stays_ended() {
    let mut world = World::new(3);
    let manifests = [
        pod("good", &["sim/exit/3/0", "sim/exit/1/0"], "restartPolicy: Never"),
        pod("bad", &["sim/exit/3/2"], "restartPolicy: Never"),
        pod("retried", &["sim/exit/2/1"], "restartPolicy: OnFailure"),
        pod("late", &["sim/run"], "activeDeadlineSeconds: 20\nrestartPolicy: Never"),
    ];
    world.declare(&manifests);
    world.pass(60).await;
    assert_eq!(world.phase("good"), "Succeeded");
    assert_eq!(world.phase("bad"), "Failed");
    assert_eq!(world.phase("retried"), "Running");
    assert_eq!(world.phase("late"), "Failed");
    let late = world.pod("late").unwrap().status.clone().unwrap();
    assert_eq!(late.reason.as_deref(), Some("DeadlineExceeded"));
    let starts = world.sim.lock().starts.len();
    world.restart_agent().await;
    world.declare(&manifests);
    world.pass(30).await;
    assert_eq!(world.phase("good"), "Succeeded");
    assert_eq!(world.phase("bad"), "Failed");
    assert_eq!(world.phase("late"), "Failed");
    let late = world.pod("late").unwrap().status.clone().unwrap();
    assert_eq!(late.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(world.sim.lock().starts.len(), starts);
    assert!(world.sim.lock().sandboxes.values().filter(|s| s.ready).count() == 1);
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_failed_container_says_why_in_its_status() {
    let world = World::new(15);
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  restartPolicy: Never\n  containers:\n  \
                - {name: a, image: sim/exit/2/3, terminationMessagePolicy: FallbackToLogsOnError}\n  \
                - {name: b, image: sim/exit/2/3}\n";
    world.declare(&[text.to_owned()]);
    world.pass(20).await;
    let said = |name: &str| world.container("bad", name).state.unwrap().terminated.unwrap();
    assert_eq!(said("a").message.as_deref(), Some("ends with 3\n"));
    assert_eq!(said("b").message, None);
    assert!(said("a").container_id.unwrap().starts_with("sim://c"), "named after the runtime");
    assert!(world.container("bad", "a").container_id.unwrap().starts_with("sim://c"));
}

/// A pod as a cluster binds it: with the token volume that the API server adds.
#[tokio::test(start_paused = true)]
async fn a_pod_that_the_node_cannot_run_says_why_and_costs_nothing() {
    let world = World::new(16);
    let mut desired =
        world.desired(&pod("web", &["sim/run"], "initContainers:\n- {name: init-0, image: sim/exit/0/0}"));
    let projected = serde_json::json!({"name": "kube-api-access-x", "projected": {"sources": []}});
    let bound = std::sync::Arc::make_mut(&mut desired.pod);
    bound.spec.as_mut().unwrap().volumes = Some(vec![serde_json::from_value(projected).unwrap()]);
    world.mailbox.complete(vec![std::sync::Arc::new(desired)]);
    world.pass(600).await;
    assert_eq!(world.phase("web"), "Pending");
    let status = world.pod("web").unwrap().status.clone().unwrap();
    assert_eq!(status.reason.as_deref(), Some("Unsupported"));
    let message = status.message.unwrap();
    let words = ["volume \"kube-api-access-x\" of kind projected", "automountServiceAccountToken: false"];
    assert!(words.iter().all(|w| message.contains(w)), "{message}");
    for name in ["main-0", "init-0"] {
        let waiting = world.container("web", name).state.unwrap().waiting.unwrap();
        assert_eq!(waiting.reason.as_deref(), Some("CreateContainerConfigError"));
        assert_eq!(waiting.message.as_deref(), Some(message.as_str()));
    }
    assert_eq!(world.reasons(), ["FailedValidation"]);
    assert!(world.sim.lock().starts.is_empty() && world.sim.lock().next == 0, "nothing was made");
    world.declare(&[]);
    world.pass(10).await;
    assert!(world.pod("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn init_containers_and_sidecars_keep_their_order() {
    let world = World::new(4);
    let more = "initContainers:\n\
                - {name: init-0, image: sim/exit/2/0}\n\
                - {name: side, image: sim/run, restartPolicy: Always, startupProbe: {periodSeconds: 1, failureThreshold: 30, exec: {command: [succeed-after, \"4\"]}}}\n\
                - {name: init-1, image: sim/exit/1/0}";
    world.declare(&[pod("ordered", &["sim/run"], more)]);
    world.pass(1).await;
    assert_eq!(world.phase("ordered"), "Pending");
    let waiting = world.container("ordered", "main-0").state.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("PodInitializing"));
    world.pass(30).await;
    assert!(world.is_ready("ordered"));
    let order: Vec<String> = {
        let state = world.sim.lock();
        let mut starts: Vec<_> = state.starts.iter().map(|((_, name), s)| (s[0].0, name.clone())).collect();
        starts.sort();
        starts.into_iter().map(|(_, name)| name).collect()
    };
    assert_eq!(order, ["init-0", "side", "init-1", "main-0"]);
    world.declare(&[]);
    world.pass(30).await;
    let state = world.sim.lock();
    let end = |name: &str| state.ends.iter().find(|((_, n), _)| n == name).unwrap().1[0].0;
    assert!(end("main-0") < end("side"));
    drop(state);
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_failing_init_container_ends_a_pod_that_never_restarts() {
    let world = World::new(5);
    world.declare(&[pod(
        "init",
        &["sim/run"],
        "restartPolicy: Never\ninitContainers:\n- {name: init-0, image: sim/exit/1/4}",
    )]);
    world.pass(20).await;
    assert_eq!(world.phase("init"), "Failed");
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_tried_again_ever_more_slowly() {
    let world = World::new(6);
    world.declare(&[pod("nope", &["sim/missing"], "")]);
    world.pass(60).await;
    let waiting = world.container("nope", "main-0").state.unwrap().waiting.unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("ImagePullBackOff"));
    assert_eq!(world.phase("nope"), "Pending");
    let pulls = |world: &World| {
        let events = world.handles.events.list();
        events.iter().filter(|e| e.reason.as_deref() == Some("Pulling")).filter_map(|e| e.count).sum::<i32>()
    };
    assert_eq!(pulls(&world), 3);
    world.pass(3600).await;
    assert!((14..=17).contains(&pulls(&world)), "{}", pulls(&world));
    world.declare(&[]);
    world.pass(5).await;
    assert!(world.handles.pods.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn probes_restart_and_unready_containers() {
    let world = World::new(7);
    let text = |name: &str, probe: &str| {
        pod(name, &[], "").replace(
            "containers:\n",
            &format!("containers:\n  - {{name: main-0, image: sim/run, {probe}}}\n"),
        )
    };
    world.declare(&[
        text(
            "live",
            "livenessProbe: {periodSeconds: 5, failureThreshold: 2, exec: {command: [fail-after, \"20\"]}}",
        ),
        text("ready", "readinessProbe: {periodSeconds: 2, exec: {command: [succeed-after, \"15\"]}}"),
        text(
            "slow",
            "startupProbe: {periodSeconds: 2, failureThreshold: 3, exec: {command: [succeed-after, \"60\"]}}",
        ),
    ]);
    world.pass(12).await;
    assert!(world.is_ready("live") && !world.is_ready("ready"));
    world.pass(10).await;
    assert!(world.is_ready("ready"));
    world.pass(40).await;
    assert!(world.container("live", "main-0").restart_count >= 1);
    assert!(world.container("slow", "main-0").restart_count >= 1);
    let events = world.handles.events.list();
    let said = |text: &str| events.iter().any(|e| e.message.as_deref().is_some_and(|m| m.contains(text)));
    assert!(said("Container main-0 failed liveness probe, will be restarted"));
    assert!(said("Container main-0 failed startup probe, will be restarted"));
    assert!(said("Liveness probe failed"));
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn grace_is_kept_and_a_pull_does_not_hold_up_the_end() {
    let world = World::new(8);
    world.declare(&[
        pod("stubborn", &["sim/stubborn"], "terminationGracePeriodSeconds: 20"),
        pod("pulling", &["sim/slow/600"], ""),
    ]);
    world.pass(5).await;
    world.declare(&[]);
    world.pass(3).await;
    assert!(world.pod("pulling").is_none());
    assert!(world.pod("stubborn").unwrap().metadata.deletion_timestamp.is_some());
    world.pass(14).await;
    assert!(world.pod("stubborn").is_some());
    world.pass(6).await;
    assert!(world.pod("stubborn").is_none());
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pruned_before_every_source_has_spoken() {
    let mut world = World::new(9);
    let manifests = [pod("web", &["sim/run"], "")];
    world.declare(&manifests);
    world.pass(5).await;
    world.restart_agent().await;
    world.pass(600).await;
    assert!(world.is_ready("web"));
    assert_eq!(world.container("web", "main-0").restart_count, 0);
    world.declare(&[]);
    world.pass(10).await;
    assert!(world.pod("web").is_none());
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn a_reboot_brings_everything_back() {
    let world = World::new(10);
    world.declare(&[pod(
        "web",
        &["sim/run", "sim/run/2"],
        "initContainers:\n- {name: init-0, image: sim/exit/1/0}",
    )]);
    world.pass(10).await;
    assert!(world.is_ready("web"));
    world.sim.reboot();
    // No event told of it: the slow relist finds it.
    world.pass(400).await;
    assert!(world.is_ready("web"));
    assert_eq!(world.container("web", "main-0").restart_count, 1);
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn delete_and_re_add_within_the_grace_period_makes_a_new_pod() {
    let world = World::new(11);
    let manifests = [pod("web", &["sim/stubborn"], "terminationGracePeriodSeconds: 20")];
    world.declare(&manifests);
    world.pass(5).await;
    world.declare(&[]);
    world.pass(5).await;
    world.declare(&manifests);
    world.pass(30).await;
    assert!(world.is_ready("web"));
    assert!(world.pod("web").unwrap().metadata.deletion_timestamp.is_none());
    assert_eq!(world.sim.lock().sandboxes.len(), 1);
    world.assert_no_violation();
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_all_pods() {
    let mut world = World::new(12);
    world.declare(&[pod("a", &["sim/run"], ""), pod("b", &["sim/exit/1/1"], "")]);
    world.pass(5).await;
    world.stop_agent().await;
    assert!(world.sim.lock().sandboxes.is_empty());
    assert!(world.handles.pods.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_runtime_changes_nothing() {
    let world = World::new(13);
    world.declare(&[pod("web", &["sim/run"], "")]);
    world.pass(5).await;
    *world.sim.faults.lock().unwrap() = Faults { before: 100, after: 0, lost_events: 100 };
    world.pass(700).await;
    assert!(world.is_ready("web"));
    *world.sim.faults.lock().unwrap() = Faults::default();
    world.pass(10).await;
    assert!(world.is_ready("web"));
    assert_eq!(world.container("web", "main-0").restart_count, 0);
    world.assert_no_violation();
}
