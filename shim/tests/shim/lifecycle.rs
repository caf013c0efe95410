use std::fs;
use std::os::unix::fs::PermissionsExt;

use prost::Message;
use reeve_proto::shim::container_state::Status;
use reeve_proto::shim::{Exit, Shutdown, error::Code, request};

use crate::pod::{Pod, code, is_alive};

#[test]
fn from_create_to_shutdown() {
    let pod = Pod::with(&["--hostname", "pod-1"]);
    let mut events = pod.subscribe();
    let plan = pod.script("c", "cat /proc/sys/kernel/hostname; echo err >&2; exit 7");
    let pid = pod.create(&plan).unwrap();
    let state = pod.list().containers.remove(0);
    assert_eq!((state.status(), state.pid, state.started_at_ns), (Status::Created, pid, 0));
    assert!(state.created_at_ns > 0);
    assert!(is_alive(pid) && pod.log("c").is_empty());

    pod.start("c").unwrap();
    let exit = events.exit();
    assert_eq!((exit.container_id.as_str(), exit.exec_id.as_str()), ("c", ""));
    assert_eq!((exit.pid, exit.exit_code, exit.oom_killed), (pid, 7, false));
    let record = fs::read(pod.path("shim/exits/c")).unwrap();
    assert_eq!(Exit::decode(record.as_slice()).unwrap(), exit);
    assert_eq!(pod.wait("c", ""), exit);
    let mut log = pod.log("c");
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F pod-1"]);
    let state = pod.list().containers.remove(0);
    assert_eq!((state.status(), state.exit), (Status::Stopped, Some(exit)));
    assert!(state.started_at_ns >= state.created_at_ns);

    pod.delete("c", false).unwrap();
    assert!(pod.list().containers.is_empty() && !pod.path("shim/exits/c").exists());
    assert!(!pod.path("shim/containers/c").exists());
    pod.shut_down();
}

#[test]
fn requests_that_the_state_forbids_are_refused() {
    let pod = Pod::new();
    assert_eq!(code(pod.start("none")), Code::NotFound);
    assert_eq!(code(pod.delete("none", true)), Code::NotFound);
    let plan = pod.script("c", "exec sleep 1000");
    pod.create(&plan).unwrap();
    assert_eq!(code(pod.create(&plan)), Code::AlreadyExists);
    pod.start("c").unwrap();
    assert_eq!(code(pod.start("c")), Code::FailedPrecondition);
    assert_eq!(code(pod.delete("c", false)), Code::FailedPrecondition);
    assert_eq!(code(pod.ask(request::Kind::Shutdown(Shutdown { force: false }))), Code::FailedPrecondition);
    assert_eq!(code(pod.signal("c", "", 15, true)), Code::InvalidArgument);
    assert_eq!(code(pod.signal("c", "", 99, false)), Code::InvalidArgument);
    pod.delete("c", true).unwrap();
    assert!(pod.list().containers.is_empty());
    pod.shut_down();
}

#[test]
fn a_container_that_cannot_be_made_leaves_nothing() {
    let pod = Pod::new();
    let mut plan = pod.script("c", "");
    plan.args = vec!["/bin/no-such".into()];
    let made = pod.create(&plan).and_then(|_| pod.start("c").map(drop));
    assert_eq!(code(made), Code::CommandNotFound);
    let _ = pod.delete("c", true);
    assert!(pod.list().containers.is_empty());

    for id in ["", "../c", ".c", "a/b"] {
        let mut plan = pod.script("c", "");
        plan.create.container_id = id.into();
        let mut create = pod.bundle(&pod.script("c", ""));
        create.container_id = id.into();
        assert_eq!(code(pod.ask(request::Kind::Create(create))), Code::InvalidArgument, "{id:?}");
    }
    let mut create = pod.bundle(&pod.script("c", ""));
    create.bundle = "/no/such".into();
    assert_eq!(code(pod.ask(request::Kind::Create(create))), Code::InvalidArgument);
    let mut create = pod.bundle(&pod.script("c", ""));
    create.rootfs[0].options.truncate(1);
    let error = pod.ask(request::Kind::Create(create)).unwrap_err();
    assert_eq!(error.message, "rootfs: an overlay needs upperdir and workdir");
    pod.run(&pod.script("c", "true"));
    assert_eq!(pod.wait("c", "").exit_code, 0);
    pod.shut_down();
}

#[test]
fn what_an_engine_missed_it_learns_when_it_is_back() {
    let pod = Pod::new();
    let create = pod.bundle(&pod.script("c", "read line; echo got $line; exit 3"));
    let create = reeve_proto::shim::Create { stdin: true, ..create };
    // Gone before the answer: the container is made all the same.
    pod.client().send(request::Kind::Create(create), Vec::new());
    crate::pod::eventually("the container", || !pod.list().containers.is_empty());
    let mut gone = pod.subscribe();
    pod.start("c").unwrap();
    let (theirs, ours) = nix::unistd::pipe().unwrap();
    let attach =
        reeve_proto::shim::Attach { container_id: "c".into(), has_stdin: true, ..Default::default() };
    gone = {
        drop(gone);
        pod.client()
    };
    gone.call(request::Kind::Attach(attach), vec![theirs]).unwrap();
    drop(gone);
    nix::unistd::write(&ours, b"hello\n").unwrap();
    assert_eq!(pod.wait("c", "").exit_code, 3);
    assert_eq!(pod.log("c"), ["stdout F got hello"]);
    assert_eq!(pod.list().containers[0].exit.as_ref().unwrap().exit_code, 3);
    pod.shut_down();
}

#[test]
fn shutdown_ends_and_frees_what_still_runs() {
    let pod = Pod::new();
    let running = pod.run(&pod.script("a", "exec sleep 1000"));
    pod.create(&pod.script("b", "true")).unwrap();
    let dir = pod.path("shim");
    assert_eq!(fs::metadata(dir.join("shim.sock")).unwrap().permissions().mode() & 0o777, 0o600);
    pod.shut_down();
    assert!(!is_alive(running));
}
