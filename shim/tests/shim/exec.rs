use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use reeve_proto::shim::{Error, Exec, error::Code, request};
use serde_json::json;

use crate::pod::{Pod, code, eventually};

fn request(id: &str, args: &[&str], terminal: bool) -> Exec {
    let process = json!({
        "args": args, "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "terminal": terminal,
    });
    Exec {
        container_id: "c".into(),
        exec_id: id.into(),
        process: process.to_string().into(),
        ..Exec::default()
    }
}

fn exec(pod: &Pod, request: Exec, descriptors: Vec<OwnedFd>) -> Result<Vec<OwnedFd>, Error> {
    pod.client().call(request::Kind::Exec(request), descriptors).map(|(_, descriptors)| descriptors)
}

#[test]
fn descriptors_go_straight_to_the_process() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    let mut events = pod.subscribe();
    let (stdin, mut to) = std::io::pipe().unwrap();
    let (mut from, stdout) = std::io::pipe().unwrap();
    let (mut errors, stderr) = std::io::pipe().unwrap();
    let wanted = Exec {
        has_stdin: true,
        has_stdout: true,
        has_stderr: true,
        ..request("e", &["sh", "-c", "cat; echo bad >&2; exit 5"], false)
    };
    exec(&pod, wanted, vec![stdin.into(), stdout.into(), stderr.into()]).unwrap();
    to.write_all(b"through").unwrap();
    drop(to);
    let (mut out, mut err) = (String::new(), String::new());
    from.read_to_string(&mut out).unwrap();
    errors.read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("through", "bad\n"));
    let exit = events.exit();
    assert_eq!((exit.container_id.as_str(), exit.exec_id.as_str(), exit.exit_code), ("c", "e", 5));
    assert_eq!(pod.list().containers[0].execs[0].exit, Some(exit.clone()));
    assert_eq!(pod.wait("c", "e"), exit);
    assert!(pod.list().containers[0].execs.is_empty());
    pod.shut_down();
}

#[test]
fn an_exec_that_runs_can_be_found_and_signalled() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    exec(&pod, request("e", &["sleep", "1000"], false), Vec::new()).unwrap();
    let listed = pod.list().containers.remove(0).execs.remove(0);
    assert!(listed.pid > 0 && listed.exit.is_none());
    assert_eq!(code(exec(&pod, request("e", &["true"], false), Vec::new())), Code::AlreadyExists);
    pod.signal("c", "e", libc::SIGKILL, false).unwrap();
    let exit = pod.wait("c", "e");
    assert_eq!((exit.pid, exit.exit_code), (listed.pid, 137));
    assert_eq!(code(pod.signal("c", "e", 9, false)), Code::NotFound);
    pod.shut_down();
}

#[test]
fn what_cannot_be_run_is_refused() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    assert_eq!(code(exec(&pod, request("e", &["no-such"], false), Vec::new())), Code::CommandNotFound);
    assert_eq!(
        code(exec(&pod, Exec { has_stdin: true, ..request("e", &["true"], false) }, Vec::new())),
        Code::InvalidArgument
    );
    assert_eq!(
        code(exec(&pod, Exec { process: b"{".into(), ..request("e", &[], false) }, Vec::new())),
        Code::InvalidArgument
    );
    assert!(pod.list().containers[0].execs.is_empty());
    pod.signal("c", "", 9, false).unwrap();
    pod.wait("c", "");
    assert_eq!(code(exec(&pod, request("e", &["true"], false), Vec::new())), Code::FailedPrecondition);
    pod.shut_down();
}

#[test]
fn a_terminal_belongs_to_the_client() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    let script = ["sh", "-c", "echo up; read line; stty size; exit 4"];
    let mut descriptors = exec(&pod, request("e", &script, true), Vec::new()).unwrap();
    let mut terminal = File::from(descriptors.remove(0));
    let size = libc::winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
    let mut seen = Vec::new();
    let mut read_until = |terminal: &mut File, text: &[u8]| {
        let mut buffer = [0; 256];
        while !seen.windows(text.len()).any(|window| window == text) {
            let count = terminal.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
        }
    };
    read_until(&mut terminal, b"up");
    // SAFETY: TIOCSWINSZ reads a winsize.
    let result = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&terminal), libc::TIOCSWINSZ, &size) };
    assert_eq!(result, 0);
    terminal.write_all(b"\n").unwrap();
    read_until(&mut terminal, b"33 99");
    assert_eq!(pod.wait("c", "e").exit_code, 4);
    pod.shut_down();
}

#[test]
fn many_at_once_all_end() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    let mut clients: Vec<_> = (0..20).map(|_| pod.client()).collect();
    for (number, client) in clients.iter().enumerate() {
        let wanted = request(&format!("e{number}"), &["sh", "-c", &format!("exit {number}")], false);
        client.send(request::Kind::Exec(wanted), Vec::new());
    }
    for client in &mut clients {
        client.answer().unwrap();
    }
    for number in 0..20 {
        assert_eq!(pod.wait("c", &format!("e{number}")).exit_code, number);
    }
    // No worker, and nothing that one left, stays as a zombie.
    let children = format!("/proc/{0}/task/{0}/children", pod.pong.pid);
    eventually("two children", || {
        std::fs::read_to_string(&children).unwrap().split_whitespace().count() == 2
    });
    pod.shut_down();
}
