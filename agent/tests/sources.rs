//! Sources that meet.
#![allow(clippy::unwrap_used, missing_docs)]

mod simulated;
mod world;

use std::path::Path;
use std::sync::Arc;

use reeve_agent::clock::Clock;
use reeve_agent::pod::DesiredPod;
use reeve_agent::sources::Mailbox;
use reeve_agent::{Config, Handles, Reconciler};
use simulated::Sim;
use tokio_util::sync::CancellationToken;
use world::{pod, start_time};

/// Declares one pod, in line 3 of a file of the source.
fn declare(mailbox: &Mailbox, image: &str) {
    let source = mailbox.name();
    let loaded =
        reeve_manifests::load_file(&source, Path::new("web.yaml"), &pod("web", &[image], "")).unwrap();
    let pod = Arc::new(loaded.pods[0].pod.clone());
    mailbox.complete(vec![Arc::new(DesiredPod { origin: format!("{source}/web.yaml:3"), source, pod })]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_two_sources_stays_with_the_first_and_the_second_is_told() {
    let sim = Sim::new(1, Clock::following_tokio(start_time()));
    let root = tempfile::tempdir().unwrap();
    let mut config = Config::new(root.path(), root.path(), Path::new("/nowhere"));
    config.log_root = root.path().join("logs");
    config.cgroup_parent = String::new();
    let handles = Handles::over(config, sim.cri(), sim.clock);
    let reconciler = Reconciler::new(handles.clone()).unwrap();
    let (first, second) = (reconciler.mailbox("/z"), reconciler.mailbox("/a"));
    tokio::spawn(reconciler.run(CancellationToken::new()));
    let image = || {
        let pod = handles.pods.get("default", "web").unwrap();
        pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
    };
    let told = || {
        let states = handles.sources.list();
        states
            .iter()
            .map(|s| s.diagnostics.iter().map(ToString::to_string).collect())
            .collect::<Vec<Vec<_>>>()
    };
    let seconds = |n| tokio::time::sleep(std::time::Duration::from_secs(n));

    declare(&first, "sim/run/1");
    declare(&second, "sim/run/2");
    seconds(5).await;
    assert_eq!(image(), "sim/run/1");
    let [of_second, of_first] = &told()[..] else { panic!("two sources") };
    assert!(of_first.is_empty());
    assert!(
        of_second[0].starts_with(
            "/a/web.yaml:3:1: pod default/web of /a/web.yaml:3 is declared already in /z/web.yaml:3, which runs on"
        ),
        "{of_second:?}"
    );

    declare(&first, "sim/run/3");
    seconds(60).await;
    assert_eq!(image(), "sim/run/3", "an edit of the first leaves the pod with it");

    first.complete(Vec::new());
    seconds(60).await;
    assert_eq!(image(), "sim/run/2");
    assert!(told().iter().all(Vec::is_empty));
}
