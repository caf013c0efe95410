//! The process: user, capabilities, limits, seccomp, streams, terminals, descriptors.
#![allow(missing_docs)]

mod common;

use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use common::Bundle;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;

fn status(bundle: Bundle) -> impl Fn(&str) -> String {
    let text = bundle.args(&["cat", "/proc/self/status"]).run().ok();
    move |key| {
        let line =
            text.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap_or_else(|| panic!("{key}"));
        line.split_once(':').expect("colon").1.trim().to_owned()
    }
}

#[test]
fn the_user_is_exactly_as_asked() {
    let field = status(
        Bundle::new()
            .set("/process/user", json!({"uid": 33, "gid": 44, "additionalGids": [55, 66], "umask": 0o77})),
    );
    assert_eq!(field("Uid").split_whitespace().collect::<Vec<_>>(), ["33"; 4]);
    assert_eq!(field("Gid").split_whitespace().collect::<Vec<_>>(), ["44"; 4]);
    assert_eq!(field("Groups"), "55 66");
    assert_eq!(field("Umask"), "0077");
    let field = status(Bundle::new());
    assert_eq!(field("Groups"), "");
    assert_eq!(field("Umask"), "0022");
}

#[test]
fn capabilities_are_set_one_by_one() {
    let field = status(Bundle::new().set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]
        }),
    ));
    // CAP_CHOWN 0, CAP_KILL 5, CAP_NET_RAW 13. An ambient capability is in permitted and effective after execve; and
    // root's own capabilities are those of the bounding and inheritable sets.
    assert_eq!(field("CapBnd"), "0000000000002021");
    assert_eq!(field("CapInh"), "0000000000000020");
    let user = status(Bundle::new().set("/process/user", json!({"uid": 33, "gid": 33})).set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]
        }),
    ));
    assert_eq!(user("CapPrm"), "0000000000000020");
    assert_eq!(user("CapEff"), "0000000000000020");
    assert_eq!(user("CapAmb"), "0000000000000020");
    let none = status(Bundle::new().set("/process/capabilities", json!({})));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(none(set), "0000000000000000", "{set}");
    }
}

#[test]
fn inheritable_stays_empty_in_run_and_exec() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    let text = bundle.exec(&["--cap", "CAP_SYS_ADMIN", &bundle.id, "true"]);
    drop(text);
    let text = bundle.cli(&["exec", "--cap", "CAP_SYS_ADMIN", &bundle.id, "cat", "/proc/self/status"]).ok();
    assert!(text.contains("CapInh:\t0000000000000000"), "{text}");
    assert!(text.contains("CapAmb:\t0000000000000000"), "{text}");
    let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("CapEff");
    assert_ne!(u64::from_str_radix(effective, 16).expect("hex") & 1 << 21, 0, "{text}");
}

#[test]
fn no_new_privileges_and_seccomp() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]
    });
    for no_new_privileges in [true, false] {
        let bundle = Bundle::new()
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/linux/seccomp", profile.clone())
            .shell("grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status; mkdir /x");
        let outcome = bundle.run();
        let expected = format!("NoNewPrivs:\t{}", u8::from(no_new_privileges));
        assert!(outcome.stdout.contains(&expected) && outcome.stdout.contains("Seccomp:\t2"), "{outcome:?}");
        assert!(outcome.stderr.contains("Operation not supported"), "{outcome:?}");
        // The capability for loading the filter is given back.
        let effective =
            outcome.stdout.lines().find_map(|line| line.strip_prefix("CapEff:\t")).expect("CapEff");
        assert_eq!(u64::from_str_radix(effective, 16).expect("hex") & 1 << 21, 0, "{outcome:?}");
    }
    let bundle = Bundle::new().set("/linux/seccomp", profile).args(&["sleep", "1000"]);
    bundle.start();
    let text = bundle.exec(&["cat", "/proc/self/status"]).ok();
    assert!(text.contains("Seccomp:\t2"), "exec is under the filter too");
}

#[test]
fn a_seccomp_listener_is_sent_with_the_state() {
    let bundle = Bundle::new();
    let path = bundle.path().join("listener");
    let listener = UnixListener::bind(&path).expect("bind");
    let bundle = bundle
        .set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "meta",
                "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}]}),
        )
        .args(&["sleep", "1000"]);
    bundle.create().ok();
    let (message, fd) = receive(&listener);
    let message: serde_json::Value = serde_json::from_slice(&message).expect("json");
    assert_eq!(message["metadata"], "meta");
    assert_eq!(message["state"]["id"], bundle.id);
    assert_eq!(message["pid"], bundle.pid());
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("link");
    assert!(link.to_string_lossy().contains("seccomp"), "{link:?}");
}

#[test]
fn limits_and_scheduling() {
    let bundle = Bundle::new()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]))
        .set("/process/oomScoreAdj", json!(321))
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}))
        .set("/linux/personality", json!({"domain": "LINUX32"}))
        .shell("grep -E 'open files|core file' /proc/self/limits; cat /proc/self/oom_score_adj; cat /proc/self/personality");
    let text = bundle.run().ok();
    let limit = |name: &str| {
        text.lines()
            .find(|line| line.contains(name))
            .expect(name)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert!(limit("open files").contains("100 200"), "{text}");
    assert!(limit("core file").contains("0 0"), "{text}");
    assert!(text.contains("321\n"), "{text}");
    assert!(text.trim_end().ends_with('8'), "{text}");
    // More than this process may give is lowered to what it may.
    let high = Bundle::new()
        .set("/process/rlimits", json!([{"type": "RLIMIT_MSGQUEUE", "soft": 99999999, "hard": 99999999}]))
        .set("/process/oomScoreAdj", json!(-999));
    high.run().ok();
    Bundle::new()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]))
        .run()
        .fails_with("process.rlimits[0]");
}

#[test]
fn environment_and_working_directory() {
    let bundle = Bundle::new()
        .set("/process/env", json!(["PATH=/bin", "A=1", "EMPTY="]))
        .set("/process/cwd", json!("/made/for/it"))
        .set("/process/user", json!({"uid": 33, "gid": 33}))
        .shell("env; readlink /proc/self/cwd");
    let text = bundle.run().ok();
    for line in ["A=1", "EMPTY=", "HOME=/srv", "/made/for/it"] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
    assert!(!text.contains("CARGO"), "{text}");
}

#[test]
fn a_working_directory_by_a_leaked_descriptor_is_refused() {
    // CVE-2024-21626.
    for number in 3..20 {
        let outcome = Bundle::new().set("/process/cwd", json!(format!("/proc/self/fd/{number}"))).run();
        assert_ne!(outcome.code, 0, "{number}: {outcome:?}");
    }
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    for number in 3..20 {
        let cwd = format!("/proc/self/fd/{number}");
        let outcome = bundle.cli(&["exec", "--cwd", &cwd, &bundle.id, "true"]);
        assert_ne!(outcome.code, 0, "{number}: {outcome:?}");
    }
}

#[test]
fn no_descriptor_but_the_streams_and_those_to_keep() {
    let bundle =
        Bundle::new().shell("ls /proc/self/fd/ | grep -v '^[012]$' | head -9; readlink /proc/self/fd/3");
    let extra = std::fs::File::open("/etc/hostname").expect("open");
    // A file that the caller forgot to close on exec.
    let inherit = |command: &mut std::process::Command| {
        let fd = extra.as_raw_fd();
        // SAFETY: dup2 is safe between fork and exec.
        unsafe {
            command.pre_exec(move || {
                // Where it is 3 already, dup2 leaves CLOEXEC set.
                if libc::dup2(fd, 3) < 0 || libc::fcntl(3, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
    };
    bundle.write();
    let mut command = bundle.command(&["run", &bundle.id]);
    inherit(&mut command);
    let text = common::outcome(&mut command).stdout;
    assert!(!text.contains("hostname"), "{text}");
    let bundle = Bundle::new().shell("cat <&3");
    bundle.write();
    let mut command = bundle.command(&["run", "--preserve-fds", "1", &bundle.id]);
    inherit(&mut command);
    assert_eq!(
        common::outcome(&mut command).ok(),
        std::fs::read_to_string("/etc/hostname").expect("hostname")
    );
    bundle.cli(&["run", "--preserve-fds", "30", &bundle.id]).fails_with("preserve descriptor");
}

#[test]
fn stdin_reaches_the_program() {
    let bundle = Bundle::new().args(&["cat"]);
    bundle.write();
    let mut child = bundle
        .command(&["run", &bundle.id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run");
    child.stdin.take().expect("stdin").write_all(b"through").expect("write");
    let output = child.wait_with_output().expect("wait");
    assert_eq!(output.stdout, b"through");
}

#[test]
fn the_user_can_open_its_streams_again() {
    let bundle = Bundle::new()
        .set("/process/user", json!({"uid": 33, "gid": 33}))
        .shell("echo out > /dev/stdout; echo err > /dev/stderr");
    let outcome = bundle.run();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn signals_are_forwarded_and_start_with_their_defaults() {
    let bundle = Bundle::new().shell("trap 'echo got; exit 9' TERM; grep -E 'SigBlk|SigIgn' /proc/self/status; echo ready; while :; do sleep 1; done");
    bundle.write();
    let mut child = bundle.command(&["run", &bundle.id]).stdout(Stdio::piped()).spawn().expect("run");
    let mut stdout = child.stdout.take().expect("stdout");
    let mut text = String::new();
    let mut byte = [0u8; 1];
    while !text.contains("ready") {
        stdout.read_exact(&mut byte).expect("read");
        text.push(byte[0] as char);
    }
    assert!(
        text.contains("SigBlk:\t0000000000000000") && text.contains("SigIgn:\t0000000000000000"),
        "{text}"
    );
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGTERM)
        .expect("kill");
    stdout.read_to_string(&mut text).expect("read");
    assert!(text.ends_with("got\n"), "{text}");
    assert_eq!(child.wait().expect("wait").code(), Some(9));
}

/// A message with one descriptor from whoever connects.
fn receive(listener: &UnixListener) -> (Vec<u8>, OwnedFd) {
    let (stream, _) = listener.accept().expect("accept");
    let mut buffer = vec![0u8; 65536];
    let mut space = nix::cmsg_space!([libc::c_int; 1]);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::empty()).expect("recvmsg");
    let fd = message
        .cmsgs()
        .expect("control")
        .find_map(|control| match control {
            // SAFETY: the kernel made it for us.
            ControlMessageOwned::ScmRights(fds) => fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }),
            _ => None,
        })
        .expect("a descriptor");
    let length = message.bytes;
    buffer.truncate(length);
    (buffer, fd)
}

#[test]
fn a_terminal_goes_to_the_console_socket() {
    let bundle = Bundle::new()
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({"height": 33, "width": 99}))
        .shell(
            "test -t 0 && test -t 1 && readlink /proc/self/fd/0; stat -c %F:%t /dev/console; exec sleep 1000",
        );
    let path = bundle.path().join("console");
    let listener = UnixListener::bind(&path).expect("bind");
    bundle.write();
    let socket = path.to_str().expect("utf-8");
    bundle.detached(&["create", "--console-socket", socket, &bundle.id]).ok();
    let (_, master) = receive(&listener);
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ takes a pointer to a winsize.
    unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    assert_eq!((size.ws_row, size.ws_col), (33, 99));
    bundle.cli(&["start", &bundle.id]).ok();
    let mut master = std::fs::File::from(master);
    let mut text = String::new();
    let mut buffer = [0u8; 256];
    while text.matches('\n').count() < 2 {
        let length = master.read(&mut buffer).expect("read");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert_eq!(text, "/dev/pts/0\r\ncharacter special file:88\r\n");

    // A second terminal for a process of exec.
    let listener = UnixListener::bind(bundle.path().join("second")).expect("bind");
    let second = bundle.path().join("second");
    bundle
        .detached(&[
            "exec",
            "--tty",
            "--detach",
            "--console-socket",
            second.to_str().expect("utf-8"),
            &bundle.id,
            "readlink",
            "/proc/self/fd/1",
        ])
        .ok();
    let (_, master) = receive(&listener);
    let length = std::fs::File::from(master).read(&mut buffer).expect("read");
    assert_eq!(&buffer[..length], b"/dev/pts/1\r\n");

    let bundle = Bundle::new().set("/process/terminal", json!(true));
    bundle.create().fails_with("cannot allocate tty");
}

#[test]
fn run_with_a_terminal_copies_it() {
    let bundle =
        Bundle::new().set("/process/terminal", json!(true)).shell("test -t 1 && echo terminal; exit 4");
    let outcome = bundle.run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (4, "terminal\r\n"), "{}", outcome.stderr);
}

#[test]
fn exec_options() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    let id = bundle.id.as_str();
    let run = |args: &[&str]| bundle.cli(&[&["exec"][..], args].concat());
    assert_eq!(
        run(&[
            "-u",
            "33:44",
            "-g",
            "55",
            "-e",
            "X=1",
            "--cwd",
            "/etc",
            id,
            "sh",
            "-c",
            "id -u; id -G; echo $X; readlink /proc/self/cwd"
        ])
        .ok(),
        "33\n44 55\n1\n/etc\n"
    );
    for user in ["root", "-1", "4294967296", "1:x"] {
        assert_eq!(run(&[&format!("--user={user}"), id, "true"]).code, 255, "{user}");
    }
    let file = bundle.path().join("process.json");
    std::fs::write(
        &file,
        json!({"user": {"uid": 7, "gid": 8}, "args": ["id", "-u"], "cwd": "/", "env": ["PATH=/bin"]})
            .to_string(),
    )
    .expect("write");
    assert_eq!(run(&["--process", file.to_str().expect("utf-8"), id]).ok(), "7\n");
    let pid_file = bundle.path().join("exec.pid");
    bundle
        .detached(&["exec", "--detach", "--pid-file", pid_file.to_str().expect("utf-8"), id, "sleep", "999"])
        .ok();
    let pid = std::fs::read_to_string(&pid_file).expect("pid");
    assert_eq!(common::namespace_of(pid.trim(), "mnt"), common::namespace_of(bundle.pid(), "mnt"));
    let procs = std::fs::read_to_string(bundle.cgroup("pids").join("cgroup.procs")).expect("procs");
    assert!(procs.lines().any(|line| line == pid), "it is in the container's cgroup");
}

#[test]
fn the_affinity_for_exec_is_not_the_first_process() {
    let bundle = Bundle::new()
        .args(&["sleep", "1000"])
        .set("/process/execCPUAffinity", json!({"initial": "0", "final": "0"}));
    bundle.start();
    let cpus = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.expect("list").trim().to_owned()
    };
    assert_eq!(cpus(&bundle.pid().to_string()), cpus("self"));
    assert_eq!(
        bundle.exec(&["grep", "Cpus_allowed_list", "/proc/self/status"]).ok(),
        "Cpus_allowed_list:\t0\n"
    );
}
