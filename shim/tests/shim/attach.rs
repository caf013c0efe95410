use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use reeve_proto::shim::{Attach, Create, Error, ResizeTty, error::Code, request};

use crate::pod::{Plan, Pod, code, eventually};

fn attach(
    pod: &Pod,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
) -> Result<(), Error> {
    let wanted = Attach {
        container_id: "c".into(),
        has_stdin: stdin.is_some(),
        has_stdout: stdout.is_some(),
        has_stderr: stderr.is_some(),
    };
    let descriptors = [stdin, stdout, stderr].into_iter().flatten().collect();
    pod.client().call(request::Kind::Attach(wanted), descriptors).map(drop)
}

fn interactive(pod: &Pod, script: &str, once: bool, terminal: bool) -> Plan {
    let plan = pod.script("c", script);
    Plan { create: Create { stdin: true, stdin_once: once, ..plan.create }, terminal, ..plan }
}

#[test]
fn stdin_and_both_outputs_reach_a_client_and_the_log() {
    let pod = Pod::new();
    pod.create(&interactive(&pod, "cat; echo bye >&2", true, false)).unwrap();
    let (stdin, mut to) = std::io::pipe().unwrap();
    let (mut from, stdout) = std::io::pipe().unwrap();
    let (mut errors, stderr) = std::io::pipe().unwrap();
    attach(&pod, Some(stdin.into()), Some(stdout.into()), Some(stderr.into())).unwrap();
    pod.start("c").unwrap();
    // More than all the buffers on the way hold at once.
    let sent = "0123456789abcde\n".repeat(40_000);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    });
    to.write_all(sent.as_bytes()).unwrap();
    drop(to); // with stdin_once this is the end of the container's stdin
    assert_eq!(pod.wait("c", "").exit_code, 0);
    assert!(reader.join().unwrap() == sent);
    let mut err = String::new();
    errors.read_to_string(&mut err).unwrap();
    assert_eq!(err, "bye\n");
    assert_eq!(pod.log("c").len(), 40_001);
    assert_eq!(code(attach(&pod, None, None, None)), Code::FailedPrecondition);
    pod.shut_down();
}

#[test]
fn without_stdin_once_the_next_client_goes_on() {
    let pod = Pod::new();
    pod.run(&interactive(&pod, "read a; read b; echo $a $b", false, false));
    for word in ["one\n", "two\n"] {
        let (stdin, mut to) = std::io::pipe().unwrap();
        attach(&pod, Some(stdin.into()), None, None).unwrap();
        to.write_all(word.as_bytes()).unwrap();
    }
    pod.wait("c", "");
    assert_eq!(pod.log("c"), ["stdout F one two"]);
    pod.shut_down();
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let pod = Pod::new();
    let script = "yes 0123456789012345678901234567890123456789 | head -n 100000; echo done; cat";
    pod.create(&interactive(&pod, script, true, false)).unwrap();
    let (mut slow, stdout) = std::io::pipe().unwrap();
    let (stdin, to) = std::io::pipe().unwrap();
    attach(&pod, Some(stdin.into()), Some(stdout.into()), None).unwrap();
    pod.start("c").unwrap();
    pod.await_log("c", "stdout F done");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        slow.read_to_end(&mut text).unwrap();
        text
    });
    // The note comes when the client has caught up.
    drop(to);
    pod.wait("c", "");
    let text = reader.join().unwrap();
    assert!(text.len() < 1_000_000, "{} bytes were kept for it", text.len());
    pod.shut_down();
}

#[test]
fn a_terminal_is_logged_resized_and_shared() {
    let pod = Pod::new();
    pod.create(&interactive(&pod, "read line; stty size; echo \"<$line>\"; exit 9", false, true)).unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let stdin = theirs.try_clone().unwrap();
    attach(&pod, Some(stdin.into()), Some(theirs.into()), None).unwrap();
    pod.start("c").unwrap();
    let resize = ResizeTty { container_id: "c".into(), columns: 120, rows: 40 };
    pod.ask(request::Kind::ResizeTty(resize)).unwrap();
    let mut terminal = File::from(OwnedFd::from(ours));
    terminal.write_all(b"typed\n").unwrap();
    let mut seen = String::new();
    terminal.read_to_string(&mut seen).unwrap();
    assert!(seen.ends_with("40 120\r\n<typed>\r\n"), "{seen:?}");
    assert_eq!(pod.wait("c", "").exit_code, 9);
    eventually("the log", || pod.log("c").iter().any(|line| line.starts_with("stdout F <typed>")));
    pod.shut_down();
}

#[test]
fn what_is_not_there_cannot_be_attached_or_resized() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "exec sleep 1000"));
    let (stdin, _to) = std::io::pipe().unwrap();
    assert_eq!(code(attach(&pod, Some(stdin.into()), None, None)), Code::FailedPrecondition);
    let resize = ResizeTty { container_id: "c".into(), columns: 1, rows: 1 };
    assert_eq!(code(pod.ask(request::Kind::ResizeTty(resize))), Code::FailedPrecondition);
    pod.shut_down();
}
