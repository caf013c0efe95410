//! The daemon is killed at every fail point; the next one must bring all to a good end.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use reeve_engine::{ContainerState, Engine, Resources, SandboxState, failpoint};

use crate::world::{World, running, script, words};
use crate::{in_world, leaks};

const CHILD: &str = "REEVE_ENGINE_TEST_CHILD";

#[test]
fn killed_at_any_point_nothing_is_lost_or_left() {
    in_world("crash::killed_at_any_point_nothing_is_lost_or_left", |world| async move {
        let only = std::env::var("REEVE_TEST_POINT").ok();
        for point in failpoint::NAMES.iter().filter(|name| only.as_ref().is_none_or(|only| only == *name)) {
            eprintln!("killed at {point}");
            die_at(&world, point);
            let engine = world.open().await;
            check_and_finish(&engine, &world, point).await;
            world.clean(engine).await;
            leaks::assert_none(&world);
        }
    });
}

/// The child of the test above: not a test of its own.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let cgroup = std::env::var("REEVE_ENGINE_TEST_CGROUP").unwrap();
    let world = World { dir: dir.into(), cgroup, links: Vec::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(whole_life(&world));
}

fn die_at(world: &World, point: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture"])
        .env(CHILD, &world.dir)
        .env("REEVE_ENGINE_TEST_CGROUP", &world.cgroup)
        .env("REEVE_FAILPOINT", point)
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(9), "{point} is not passed, or something failed before: {status}");
}

/// Passes every fail point.
async fn whole_life(world: &World) {
    let engine = world.open().await;
    let sandbox = engine.run_sandbox(world.sandbox("pod")).await.unwrap();
    let main = running(&engine, &sandbox, script("main", "exec sleep 1000")).await;
    let more = Resources { memory_limit: Some(96 << 20), ..Resources::default() };
    engine.update_container(&main, more).await.unwrap();
    engine.stop_container(&main, Duration::from_millis(100)).await.unwrap();
    // Its clean-up in the shim goes on after the stop has returned.
    tokio::time::sleep(Duration::from_millis(500)).await;
    engine.remove_container(&main).await.unwrap();
    running(&engine, &sandbox, script("other", "exec sleep 1000")).await;
    engine.stop_sandbox(&sandbox).await.unwrap();
    engine.remove_sandbox(&sandbox).await.unwrap();
}

/// What there is must be usable, and what was asked for can be asked for again.
async fn check_and_finish(engine: &Engine, world: &World, point: &str) {
    let sandbox = match &engine.sandboxes()[..] {
        [] => engine.run_sandbox(world.sandbox("pod")).await.unwrap(),
        [one] => one.id.clone(),
        more => panic!("{point}: {} sandboxes", more.len()),
    };
    for container in engine.containers() {
        match container.state {
            ContainerState::Created => engine.start_container(&container.id).await.unwrap(),
            ContainerState::Running => {
                let output = engine.exec_sync(&container.id, words(&["echo", "here"]), None).await.unwrap();
                assert_eq!(output.stdout, b"here\n", "{point}");
            }
            ContainerState::Exited => assert_eq!(container.exit_code, 137, "{point}"),
            ContainerState::Unknown => panic!("{point}: {container:?}"),
        }
        engine.stop_container(&container.id, Duration::ZERO).await.unwrap();
    }
    if engine.sandbox(&sandbox).unwrap().state == SandboxState::Ready {
        let id = running(engine, &sandbox, script("fresh", "exec sleep 1000")).await;
        let output = engine.exec_sync(&id, words(&["echo", "here"]), None).await.unwrap();
        assert_eq!(output.stdout, b"here\n", "{point}");
    }
    engine.stop_sandbox(&sandbox).await.unwrap();
    engine.remove_sandbox(&sandbox).await.unwrap();
}
