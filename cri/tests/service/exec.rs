use std::time::{Duration, Instant};

use tonic::Code;

use crate::isolated;

#[test]
fn a_command_gives_output_and_exit_code() {
    isolated("exec::a_command_gives_output_and_exit_code", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "sleep 100").await;
        let output = bench.exec(&id, "echo out; echo err >&2; exit 5").await;
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.exit_code, 5);
    });
}

#[test]
fn a_command_that_takes_too_long_is_killed_and_the_kubelet_can_tell() {
    isolated(
        "exec::a_command_that_takes_too_long_is_killed_and_the_kubelet_can_tell",
        |mut bench| async move {
            let sandbox = bench.sandbox("web").await;
            let id = bench.running(&sandbox, "main", "sleep 100").await;
            let began = Instant::now();
            let refused = bench.exec_within(&id, "sleep 4321", 1).await.unwrap_err();
            assert_eq!(refused.code(), Code::DeadlineExceeded);
            assert!(began.elapsed() < Duration::from_secs(10));
            let left = bench.exec(&id, "for p in /proc/[0-9]*; do cat $p/cmdline; echo; done").await;
            assert!(!String::from_utf8_lossy(&left.stdout).contains("4321\0"), "the command is still there");
        },
    );
}

#[test]
fn output_is_bounded_and_the_command_goes_on() {
    isolated("exec::output_is_bounded_and_the_command_goes_on", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "sleep 100").await;
        let output = bench.exec(&id, "head -c 20000000 /dev/zero; exit 6").await;
        assert_eq!((output.stdout.len(), output.exit_code), (16 << 20, 6));
    });
}

#[test]
fn there_must_be_someone_to_run_it() {
    isolated("exec::there_must_be_someone_to_run_it", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        assert_eq!(bench.exec_within("nobody", "true", 1).await.unwrap_err().code(), Code::NotFound);
        let config = bench.container_config("main", "sleep 100");
        let id = bench.create(&sandbox, config).await.unwrap();
        assert_eq!(bench.exec_within(&id, "true", 1).await.unwrap_err().code(), Code::FailedPrecondition);
    });
}
