use std::time::Duration;

use reeve_engine::{ContainerState, Engine, Error, SandboxState};

use crate::in_world;
use crate::world::{World, alive, ended, running, script, until, words};

#[test]
fn pods_outlive_the_engine() {
    in_world("restart::pods_outlive_the_engine", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("stay")).await.unwrap();
        let steady =
            running(&engine, &sandbox, script("steady", "while true; do echo tick; sleep 0.05; done")).await;
        let brief = running(
            &engine,
            &sandbox,
            script("brief", "while ! [ -e /tmp/go ]; do sleep 0.05; done; exit 3"),
        )
        .await;
        let waiting = engine.create_container(&sandbox, script("waiting", "exec sleep 1000")).await.unwrap();
        let before = engine.container(&steady).unwrap();
        engine.exec_sync(&brief, words(&["/bin/sh", "-c", "touch /tmp/go"]), None).await.unwrap();
        world.close(engine).await;

        let ticks = || world.log("stay", "steady").matches("tick").count();
        let then = ticks();
        until(|| (ticks() > then + 3).then_some(())).await;
        let engine = world.open().await;
        let after = engine.container(&steady).unwrap();
        assert_eq!(
            (after.state, after.pid, after.started_at),
            (ContainerState::Running, before.pid, before.started_at)
        );
        let brief = ended(&engine, &brief).await;
        assert_eq!((brief.exit_code, brief.reason.as_str()), (3, "Error"));
        assert_eq!(engine.container(&waiting).unwrap().state, ContainerState::Created);
        engine.start_container(&waiting).await.unwrap();
        let output = engine.exec_sync(&steady, words(&["echo", "here"]), None).await.unwrap();
        assert_eq!(output.stdout, b"here\n");
        // Ends are heard again.
        engine.stop_container(&steady, Duration::ZERO).await.unwrap();
        assert_eq!(engine.container(&steady).unwrap().exit_code, 137);
        world.clean(engine).await;
    });
}

#[test]
fn two_engines_do_not_share_directories() {
    in_world("restart::two_engines_do_not_share_directories", |world| async move {
        let engine = world.open().await;
        let error = Engine::open(world.config()).await.unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        world.clean(engine).await;
    });
}

#[test]
fn a_killed_shim_is_told_and_leaves_no_process() {
    in_world("restart::a_killed_shim_is_told_and_leaves_no_process", |world| async move {
        let engine = world.open().await;
        let (sandbox, pid) = pod(&engine, &world, "live").await;
        kill(engine.sandbox(&sandbox).unwrap().shim_pid);
        let container = ended(&engine, &engine.containers()[0].id).await;
        assert_eq!((container.exit_code, container.reason.as_str()), (137, "Error"));
        assert_eq!(engine.sandbox(&sandbox).unwrap().state, SandboxState::NotReady);
        until(|| (!alive(pid)).then_some(())).await;
        engine.remove_sandbox(&sandbox).await.unwrap();

        // While the engine is away.
        let (sandbox, pid) = pod(&engine, &world, "away").await;
        let shim = engine.sandbox(&sandbox).unwrap().shim_pid;
        world.close(engine).await;
        kill(shim);
        until(|| (!alive(pid)).then_some(())).await;
        let engine = world.open().await;
        assert_eq!(engine.sandbox(&sandbox).unwrap().state, SandboxState::NotReady);
        assert_eq!(engine.containers()[0].exit_code, 137);
        engine.stop_sandbox(&sandbox).await.unwrap();
        world.clean(engine).await;
    });
}

#[test]
fn after_a_reboot_all_has_ended_and_can_be_removed() {
    in_world("restart::after_a_reboot_all_has_ended_and_can_be_removed", |world| async move {
        let engine = world.open().await;
        let (sandbox, pid) = pod(&engine, &world, "old").await;
        let waiting = engine.create_container(&sandbox, script("waiting", "true")).await.unwrap();
        let ip = engine.sandbox(&sandbox).unwrap().ips[0];
        world.close(engine).await;
        // As if /run had been swept. Here the shim still lives, and must end.
        std::fs::remove_file(world.dir.join("run/state.redb")).unwrap();
        let engine = world.open().await;
        assert_eq!(engine.sandbox(&sandbox).unwrap().state, SandboxState::NotReady);
        for container in engine.containers() {
            assert_eq!(container.state, ContainerState::Exited);
            assert_eq!((container.exit_code, container.reason.as_str()), (255, "Unknown"));
        }
        assert!(engine.container(&waiting).is_ok());
        until(|| (!alive(pid)).then_some(())).await;
        let again = reeve_engine::SandboxSpec { hostname: "again".into(), ..world.sandbox("again") };
        let again = engine.run_sandbox(again).await.unwrap();
        assert!(!engine.sandbox(&again).unwrap().ips.is_empty());
        assert!(ip.is_ipv4());
        world.clean(engine).await;
    });
}

#[test]
fn leftovers_of_no_record_are_swept() {
    in_world("restart::leftovers_of_no_record_are_swept", |world| async move {
        let engine = world.open().await;
        let (_, pid) = pod(&engine, &world, "orphan").await;
        world.close(engine).await;
        for file in ["run/state.redb", "root/state.redb"] {
            std::fs::remove_file(world.dir.join(file)).unwrap();
        }
        let engine = world.open().await;
        assert!(engine.sandboxes().is_empty() && engine.containers().is_empty());
        until(|| (!alive(pid)).then_some(())).await;
        world.clean(engine).await;
    });
}

#[test]
fn lists_come_from_memory() {
    in_world("restart::lists_come_from_memory", |world| async move {
        let engine = world.open().await;
        let (_, _) = pod(&engine, &world, "one").await;
        for file in ["run/state.redb", "root/state.redb"] {
            std::fs::remove_file(world.dir.join(file)).unwrap();
        }
        assert_eq!((engine.sandboxes().len(), engine.containers().len()), (1, 1));
        world.clean(engine).await;
    });
}

async fn pod(engine: &Engine, world: &World, name: &str) -> (String, u32) {
    let sandbox = engine.run_sandbox(world.sandbox(name)).await.unwrap();
    let id = running(engine, &sandbox, script("c", "exec sleep 1000")).await;
    (sandbox, engine.container(&id).unwrap().pid)
}

fn kill(pid: u32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
}
