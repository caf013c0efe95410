use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use reeve_proto::shim::{Subscribe, request};

use crate::pod::{Pod, eventually};

#[test]
fn other_users_are_refused_even_where_the_files_would_let_them() {
    let pod = Pod::new();
    for (path, mode) in [("", 0o755), ("shim", 0o755), ("shim/shim.sock", 0o777)] {
        fs::set_permissions(pod.path(path), Permissions::from_mode(mode)).unwrap();
    }
    // The test itself, as another user: asked to connect and to say what it reads.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["hostile::as_another_user", "--exact", "--nocapture"])
        .env("REEVE_TEST_SOCKET", pod.path("shim/shim.sock"))
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output();
    // Its binary may lie where that user cannot go: then a copy beside the socket is run.
    let output = output.ok().filter(|output| output.status.success()).unwrap_or_else(|| {
        fs::copy(std::env::current_exe().unwrap(), pod.path("test")).unwrap();
        Command::new(pod.path("test"))
            .args(["hostile::as_another_user", "--exact", "--nocapture"])
            .env("REEVE_TEST_SOCKET", pod.path("shim/shim.sock"))
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap()
    });
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("read 0 bytes"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let note = || fs::read_to_string(pod.path("shim/shim.log")).unwrap();
    eventually("the note in shim.log", || note().contains("connection of user 65534"));
    pod.shut_down();
}

/// Does something only when the test above runs it.
#[test]
fn as_another_user() {
    let Some(path) = std::env::var_os("REEVE_TEST_SOCKET") else { return };
    let mut socket = UnixStream::connect(path).unwrap();
    // An empty request is sent; whether that still goes out or not, nothing comes back.
    let _ = socket.write_all(&[2, 0, 0, 0, 10, 0]);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    println!("read {} bytes", answer.len());
}

#[test]
fn nonsense_closes_its_connection_and_no_other() {
    let pod = Pod::new();
    let mut good = pod.client();
    for bytes in [&[255, 255, 255, 255][..], &[3, 0, 0, 0, 255, 255, 255], &[0, 0, 0, 0], &[9, 0, 0, 0, 1]] {
        let mut socket = UnixStream::connect(pod.path("shim/shim.sock")).unwrap();
        socket.write_all(bytes).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty());
    }
    good.ask(request::Kind::Ping(Default::default())).unwrap();
    pod.shut_down();
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_blocks_nobody() {
    let pod = Pod::new();
    let lazy = pod.subscribe();
    let mut eager = pod.subscribe();
    pod.run(&pod.script("c", "exec sleep 1000"));
    let process = br#"{"args":["/bin/true"],"cwd":"/","user":{"uid":0,"gid":0}}"#;
    let mut client = pod.client();
    // A long id makes long events, so that fewer of them fill the buffers.
    let long = "x".repeat(60_000);
    for number in 0..8 {
        let wanted = reeve_proto::shim::Exec {
            container_id: "c".into(),
            exec_id: format!("{long}{number}"),
            process: process.into(),
            ..Default::default()
        };
        client.call(request::Kind::Exec(wanted), Vec::new()).unwrap();
        assert_eq!(eager.exit().exit_code, 0);
    }
    let note = || fs::read_to_string(pod.path("shim/shim.log")).unwrap();
    eventually("the note in shim.log", || note().contains("a subscriber does not keep up"));
    drop(lazy);
    let mut back = pod.client();
    back.ask(request::Kind::Subscribe(Subscribe {})).unwrap();
    assert_eq!(pod.list().containers[0].execs.len(), 8);
    pod.shut_down();
}

#[test]
fn a_shim_that_cannot_start_says_why_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let start = |options: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_reeve-shim"))
            .args(["--id", "x", "--dir"])
            .arg(dir.path())
            .args(options)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let netns = start(&["--netns", "/no/such"]);
    assert_eq!(netns, "error: network namespace /no/such: No such file or directory (os error 2)\n");
    let sysctl = start(&["--sysctl", "kernel.panic=1"]);
    assert_eq!(sysctl, "error: sysctl kernel.panic=1: not a setting of a namespace\n");
}
