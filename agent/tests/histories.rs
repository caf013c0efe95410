//! Random histories of edits, failures and restarts, and what must hold in each and at its end.
//!
//! `REEVE_HISTORIES` says how many (a third of a second each, all of it unoptimized code), `REEVE_SEED` the first.
#![allow(clippy::unwrap_used, missing_docs)]

mod simulated;
mod world;

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use simulated::Faults;
use world::{World, pod};

const IMAGES: &[&str] = &[
    "sim/run",
    "sim/run/2",
    "sim/stubborn",
    "sim/exit/5/1",
    "sim/exit/700/1",
    "sim/exit/2/0",
    "sim/missing",
    "sim/slow/30",
];

fn random_pod(rng: &mut SmallRng, name: &str) -> (String, bool) {
    let image = |rng: &mut SmallRng| IMAGES[rng.random_range(0..IMAGES.len())];
    let images: Vec<&str> = (0..rng.random_range(1..3)).map(|_| image(rng)).collect();
    let policy = ["Always", "OnFailure", "Never"][rng.random_range(0..3)];
    let mut more =
        format!("restartPolicy: {policy}\nterminationGracePeriodSeconds: {}", rng.random_range(0..40));
    let inits = rng.random_range(0..3);
    if inits > 0 {
        more.push_str("\ninitContainers:");
    }
    for n in 0..inits {
        more.push_str(&format!("\n- {{name: init-{n}, image: sim/exit/{n}/0}}"));
    }
    let runs = images.iter().all(|i| ["sim/run", "sim/run/2", "sim/stubborn", "sim/slow/30"].contains(i));
    (pod(name, &images, &more), runs && policy == "Always")
}

async fn history(seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = World::new(seed);
    let mut declared: BTreeMap<String, (String, bool)> = BTreeMap::new();
    *world.sim.faults.lock().unwrap() = Faults {
        before: rng.random_range(0..20),
        after: rng.random_range(0..10),
        lost_events: rng.random_range(0..50),
    };
    let declare = |world: &World, declared: &BTreeMap<String, (String, bool)>| {
        world.declare(&declared.values().map(|(text, _)| text.clone()).collect::<Vec<_>>());
    };
    for _ in 0..rng.random_range(5..25) {
        let name = format!("pod-{}", rng.random_range(0..4));
        match rng.random_range(0..10) {
            0..5 => drop(declared.insert(name.clone(), random_pod(&mut rng, &name))),
            5..7 => drop(declared.remove(&name)),
            7 => world.restart_agent().await,
            8 => world.sim.reboot(),
            _ => {}
        }
        declare(&world, &declared);
        let seconds = [0, 1, 5, 30, 200, 1000][rng.random_range(0..6)];
        world.pass(seconds).await;
        world.assert_no_violation();
    }
    *world.sim.faults.lock().unwrap() = Faults::default();
    world.pass(1500).await;
    world.assert_no_violation();
    for (name, (_, runs)) in &declared {
        let pod = world.pod(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert!(pod.metadata.deletion_timestamp.is_none(), "{name} is still ending");
        if *runs {
            assert!(world.is_ready(name), "{name} is not ready: {:#?}", pod.status);
        }
    }
    assert_eq!(world.handles.pods.list().len(), declared.len());
    declared.clear();
    declare(&world, &declared);
    world.pass(120).await;
    let state = world.sim.lock();
    assert!(state.sandboxes.is_empty(), "sandboxes are left: {:?}", state.sandboxes.keys());
    assert!(state.containers.is_empty(), "containers are left");
    drop(state);
    // Where no pod was ever declared there is no directory.
    let pods = std::fs::read_dir(world.root.path().join("root/pods"));
    let left: Vec<_> = pods.into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "directories are left: {left:?}");
}

#[test]
fn random_histories_keep_every_rule_and_converge() {
    let first: u64 = std::env::var("REEVE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let count: u64 = std::env::var("REEVE_HISTORIES").ok().and_then(|s| s.parse().ok()).unwrap_or(40);
    for seed in first..first + count {
        let run = std::panic::AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(history(seed));
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("history {seed} failed: run again with REEVE_SEED={seed} REEVE_HISTORIES=1");
            std::panic::resume_unwind(panic);
        }
    }
}
