use std::time::{Duration, Instant};

use reeve_engine::{AttachSpec, ContainerSpec, Error, ExecSpec, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::in_world;
use crate::world::{running, script, until, words};

#[test]
fn commands_run_to_their_ends() {
    in_world("exec::commands_run_to_their_ends", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("exec")).await.unwrap();
        let id = running(&engine, &sandbox, script("c", "exec sleep 1000")).await;
        let run =
            async |text: &str, limit| engine.exec_sync(&id, words(&["/bin/sh", "-c", text]), limit).await;

        let output = run("echo out; echo err >&2; exit 5", None).await.unwrap();
        assert_eq!((&*output.stdout, &*output.stderr, output.exit_code), (&b"out\n"[..], &b"err\n"[..], 5));
        let absent = engine.exec_sync(&id, words(&["/bin/absent"]), None).await;
        assert!(matches!(absent, Err(Error::CommandNotFound(_))), "{absent:?}");

        let began = Instant::now();
        let late = run("echo $$ > /tmp/pid; exec sleep 500", Some(Duration::from_secs(1))).await;
        assert!(matches!(late, Err(Error::ExecTimeout(_))), "{late:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
        let gone = run("! ls /proc/$(cat /tmp/pid)/exe 2>/dev/null", None).await.unwrap();
        assert_eq!(gone.exit_code, 0, "the command is killed");

        let began = Instant::now();
        let background = run("sleep 300 & echo done", None).await.unwrap();
        assert_eq!(background.stdout, b"done\n");
        assert!(began.elapsed() < Duration::from_secs(20), "descendants are not waited for");

        let flood = run("yes | head -c 20000000", None).await.unwrap();
        assert_eq!((flood.stdout.len(), flood.exit_code), (16 << 20, 0));

        engine.stop_container(&id, Duration::ZERO).await.unwrap();
        assert!(matches!(run("true", None).await, Err(Error::WrongState { .. })));
        world.clean(engine).await;
    });
}

#[test]
fn sessions_have_streams_and_terminals() {
    in_world("exec::sessions_have_streams_and_terminals", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("session")).await.unwrap();
        let id = running(&engine, &sandbox, script("c", "exec sleep 1000")).await;

        let spec = ExecSpec { cmd: words(&["cat"]), stdin: true, stdout: true, ..ExecSpec::default() };
        let mut session = engine.exec(&id, spec).await.unwrap();
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"through").await.unwrap();
        drop(stdin);
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "through");
        assert_eq!(session.wait().await.unwrap(), 0);

        let shell = "read line; stty size; echo $TERM; exit 4";
        let cmd = words(&["/bin/sh", "-c", shell]);
        let spec = ExecSpec { cmd, tty: true, stdin: true, stdout: true, ..ExecSpec::default() };
        let mut session = engine.exec(&id, spec).await.unwrap();
        session.terminal().resize(TerminalSize { columns: 91, rows: 17 }).await.unwrap();
        session.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert!(text.contains("17 91") && text.contains("xterm"), "{text}");
        assert_eq!(session.wait().await.unwrap(), 4);
        world.clean(engine).await;
    });
}

#[test]
fn attaching_takes_part_in_the_first_process() {
    in_world("exec::attaching_takes_part_in_the_first_process", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("attach")).await.unwrap();
        let spec = ContainerSpec {
            stdin: true,
            stdin_once: true,
            ..script("c", "read word; echo got $word; exit 6")
        };
        let id = running(&engine, &sandbox, spec).await;
        let all = AttachSpec { stdin: true, stdout: true, stderr: true };
        let mut session = engine.attach(&id, all).await.unwrap();
        session.stdin.take().unwrap().write_all(b"it\n").await.unwrap();
        let mut text = String::new();
        session.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "got it\n");
        assert_eq!(session.wait().await.unwrap(), 6);
        until(|| world.log("attach", "c").contains("stdout F got it").then_some(())).await;

        let id = running(&engine, &sandbox, script("closed", "exec sleep 1000")).await;
        assert!(matches!(engine.attach(&id, all).await, Err(Error::Invalid { .. })));
        world.clean(engine).await;
    });
}

#[test]
fn logs_are_reopened_after_rotation() {
    in_world("exec::logs_are_reopened_after_rotation", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("log")).await.unwrap();
        let id = running(&engine, &sandbox, script("c", "while true; do echo tick; sleep 0.05; done")).await;
        until(|| world.log("log", "c").contains("tick").then_some(())).await;
        let path = engine.container(&id).unwrap().log_path;
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        engine.reopen_log(&id).await.unwrap();
        until(|| world.log("log", "c").contains("tick").then_some(())).await;
        world.clean(engine).await;
    });
}
