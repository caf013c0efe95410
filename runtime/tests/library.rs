//! The library as the shim uses it: one thread, the parent of what it makes, roots without a path.
#![allow(missing_docs, clippy::print_stdout)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use common::Bundle;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use oci_spec::runtime::{LinuxResources, Process, Spec};
use reeve_runtime::{
    CommandFault, Container, CreateRequest, Error, ExecRequest, Started, Status, Stdio, mount,
};
use serde_json::json;

fn main() {
    let tests: [(&str, fn()); 9] = [
        ("the_process_is_a_direct_child_with_the_given_streams", direct_child),
        ("a_detached_overlay_is_the_root", detached_overlay),
        ("a_root_needs_no_directory", no_directory),
        ("the_terminal_comes_back", terminal),
        ("exec_is_a_direct_child", exec),
        ("a_missing_program_has_its_own_error", missing_program),
        ("limits_change_and_counters_count", limits_and_counters),
        ("a_memory_limit_kills_and_is_counted", out_of_memory),
        ("blocked_signals_do_not_reach_the_container", blocked_signals),
    ];
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    for (name, test) in tests {
        if filter.as_ref().is_none_or(|filter| name.contains(filter)) {
            test();
            println!("test {name} ... ok");
        }
    }
}

fn spec(bundle: &Bundle) -> Spec {
    serde_json::from_value(bundle.config.clone()).expect("spec")
}

fn create<'a>(bundle: &'a Bundle, state: &'a std::path::Path, stdio: Stdio) -> CreateRequest<'a> {
    CreateRequest { spec: Some(spec(bundle)), stdio, ..CreateRequest::new(&bundle.id, bundle.path(), state) }
}

/// Streams of which stdout and stderr come back through a pipe.
fn piped() -> (Stdio, File) {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    let stderr = writer.try_clone().expect("clone");
    let stdin: OwnedFd = File::open("/dev/null").expect("null").into();
    (Stdio::Fds { stdin, stdout: writer, stderr }, reader.into())
}

fn reap(started: &Started) -> i32 {
    match waitid(Id::PIDFd(started.pidfd.as_fd()), WaitPidFlag::WEXITED).expect("the child is ours") {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("{other:?}"),
    }
}

fn read(mut from: File) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("read");
    text
}

fn direct_child() {
    let bundle = Bundle::new().shell("echo out; echo err >&2; exit 5");
    let state = bundle.state_root();
    let (stdio, output) = piped();
    let (mut container, started) = Container::create(create(&bundle, &state, stdio)).expect("create");
    assert_eq!(container.status().expect("status"), Status::Created);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.pid)).expect("stat");
    assert!(stat.contains(&format!(" S {} ", std::process::id())), "{stat}");
    container.start().expect("start");
    assert_eq!(read(output), "out\nerr\n");
    assert_eq!(reap(&started), 5);
    assert_eq!(container.status().expect("status"), Status::Stopped);
    assert_eq!(Container::list(&state).expect("list").len(), 1);
    container.delete(false).expect("delete");
    assert!(matches!(Container::load(&state, &bundle.id), Err(Error::NotFound { .. })));
    let children = std::fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
    assert_eq!(children.expect("children"), "", "no other child was left behind");
}

fn overlay(bundle: &Bundle) -> (OwnedFd, PathBuf) {
    let make = |name: &str| {
        let path = bundle.path().join(name);
        std::fs::create_dir(&path).expect("mkdir");
        path
    };
    let (top, upper, work) = (make("top"), make("upper"), make("work"));
    std::fs::write(top.join("from-the-top"), "top").expect("write");
    let tree = mount::overlay(&[top, bundle.root()], &upper, &work, &["index=off"]).expect("overlay");
    (tree, upper)
}

fn detached_overlay() {
    let bundle =
        Bundle::new().shell("cat /from-the-top; echo new > /written; grep ' / ' /proc/self/mountinfo");
    let state = bundle.state_root();
    let (tree, upper) = overlay(&bundle);
    let (stdio, output) = piped();
    let request = CreateRequest { rootfs: Some(tree), ..create(&bundle, &state, stdio) };
    let (mut container, started) = Container::create(request).expect("create");
    container.start().expect("start");
    let text = read(output);
    assert_eq!(reap(&started), 0, "{text}");
    assert!(text.starts_with("top") && text.contains("overlay"), "{text}");
    assert_eq!(std::fs::read_to_string(upper.join("written")).expect("written"), "new\n");
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!table.contains(&*bundle.path().to_string_lossy()), "nothing shows on the host");
    container.delete(false).expect("delete");
}

fn no_directory() {
    let mut bundle = Bundle::new().shell("cat /from-the-top");
    let (tree, _) = overlay(&bundle);
    bundle.config["root"]["path"] = json!("nowhere");
    let state = bundle.state_root();
    let (stdio, output) = piped();
    let request = CreateRequest { rootfs: Some(tree), ..create(&bundle, &state, stdio) };
    let (mut container, started) = Container::create(request).expect("create");
    container.start().expect("start");
    assert_eq!(read(output), "top");
    assert_eq!(reap(&started), 0);
    container.delete(false).expect("delete");
}

fn terminal() {
    let bundle = Bundle::new().set("/process/terminal", json!(true)).shell("read line; echo got $line");
    let state = bundle.state_root();
    let (mut container, started) =
        Container::create(create(&bundle, &state, Stdio::Terminal)).expect("create");
    let mut master = File::from(started.terminal.as_ref().expect("terminal").try_clone().expect("clone"));
    container.start().expect("start");
    master.write_all(b"word\n").expect("write");
    let mut text = String::new();
    let mut buffer = [0u8; 64];
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert_eq!(text, "word\r\ngot word\r\n");
    assert_eq!(reap(&started), 0);
    container.delete(false).expect("delete");
}

fn sleeping(bundle: &Bundle) -> (Container, Started) {
    let state = bundle.state_root();
    let (mut container, started) = Container::create(create(bundle, &state, piped().0)).expect("create");
    container.start().expect("start");
    (container, started)
}

fn end(container: Container, started: &Started) {
    container.kill(libc::SIGKILL, true).expect("kill");
    assert_eq!(reap(started), 128 + libc::SIGKILL);
    container.delete(false).expect("delete");
}

fn process(value: serde_json::Value) -> Process {
    serde_json::from_value(value).expect("process")
}

fn exec() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    let (container, started) = sleeping(&bundle);
    let shell = json!({"user": {"uid": 33, "gid": 33}, "cwd": "/", "env": ["PATH=/bin"],
        "args": ["sh", "-c", "id -u; grep CapBnd /proc/self/status; exit 6"]});
    let (stdio, output) = piped();
    let running = container.exec(ExecRequest::new(&process(shell), stdio)).expect("exec");
    let text = read(output);
    assert!(text.starts_with("33\n"), "{text}");
    assert!(
        text.contains("00000000a80425fb"),
        "capabilities are the container's where none are named: {text}"
    );
    assert_eq!(reap(&running), 6);
    let nothing = json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["nothing"]});
    let error = container.exec(ExecRequest::new(&process(nothing), piped().0)).expect_err("nothing");
    assert!(matches!(error, Error::CommandNotFound { fault: CommandFault::NotInPath, .. }), "{error}");
    let terminal = json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "terminal": true, "args": ["/bin/readlink", "/proc/self/fd/0"]});
    let running = container.exec(ExecRequest::new(&process(terminal), Stdio::Terminal)).expect("exec");
    let mut buffer = [0u8; 64];
    let length = File::from(running.terminal.as_ref().expect("master").try_clone().expect("clone"))
        .read(&mut buffer)
        .expect("read");
    assert_eq!(&buffer[..length], b"/dev/pts/0\r\n");
    assert_eq!(reap(&running), 0);
    end(container, &started);
}

fn missing_program() {
    let bundle = Bundle::new().args(&["/bin/nothing"]);
    let state = bundle.state_root();
    let error = Container::create(create(&bundle, &state, piped().0)).expect_err("nothing");
    let fault = CommandFault::NoSuchFile { path: "/bin/nothing".to_owned() };
    assert!(matches!(&error, Error::CommandNotFound { fault: got, .. } if *got == fault), "{error}");
    assert!(!state.join(&bundle.id).exists());
}

fn limits_and_counters() {
    let bundle = Bundle::new()
        .shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 1000")
        .set("/linux/resources", json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 30}}));
    let (container, started) = sleeping(&bundle);
    common::wait_until(|| container.stats().expect("stats").cpu_usage_ns > 1_000_000);
    let stats = container.stats().expect("stats");
    assert_eq!((stats.pids, stats.memory_limit_bytes), (1, 67_108_864));
    assert!(stats.memory_usage_bytes > 0 && stats.memory_working_set_bytes <= stats.memory_usage_bytes);
    assert!(stats.memory_page_faults > 0);
    let change: LinuxResources =
        serde_json::from_value(json!({"memory": {"limit": 134_217_728}, "pids": {"limit": 40}}))
            .expect("resources");
    container.update(&change).expect("update");
    assert_eq!(container.stats().expect("stats").memory_limit_bytes, 134_217_728);
    let limit = std::fs::read_to_string(bundle.cgroup("pids").join("pids.max")).expect("pids.max");
    assert_eq!(limit.trim(), "40");
    assert_eq!(container.oom_kills().expect("oom kills"), 0);
    end(container, &started);
}

fn out_of_memory() {
    // A file in a tmpfs is charged to the cgroup and cannot be dropped.
    let bundle = Bundle::new()
        .args(&["dd", "if=/dev/zero", "of=/dev/shm/big", "bs=1048576", "count=60"])
        .set("/linux/resources", json!({"memory": {"limit": 20_971_520, "swap": 20_971_520}}));
    let (container, started) = sleeping(&bundle);
    assert_eq!(reap(&started), 128 + libc::SIGKILL);
    assert!(container.oom_kills().expect("oom kills") > 0);
    container.delete(false).expect("delete");
}

fn blocked_signals() {
    let before = nix::sys::signal::SigSet::thread_get_mask().expect("mask");
    nix::sys::signal::SigSet::all().thread_block().expect("block");
    let bundle = Bundle::new().args(&["grep", "SigBlk", "/proc/self/status"]);
    let state = bundle.state_root();
    let (stdio, output) = piped();
    let (mut container, started) = Container::create(create(&bundle, &state, stdio)).expect("create");
    container.start().expect("start");
    assert_eq!(read(output), "SigBlk:\t0000000000000000\n");
    reap(&started);
    container.delete(false).expect("delete");
    before.thread_set_mask().expect("mask");
}
