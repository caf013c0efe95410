//! The runner of cgroup-v2 guests: what the command sees, what comes back, and that nothing stays.

use std::fs;
use std::process::{Command, Output, Stdio};

use reeve_e2e::until;

fn vm(options: &[&str], script: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reeve-vm"));
    command.args(options).args(["--", "sh", "-c", script]).output().expect("the runner")
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn status_and_streams_come_back() {
    let output = vm(&[], "echo out; echo err >&2; head -c 300000 /dev/zero | tr '\\0' x; exit 7");
    assert_eq!(output.status.code(), Some(7), "{}", said(&output.stderr));
    assert_eq!(said(&output.stderr), "err\n");
    let out = said(&output.stdout);
    assert!(out.starts_with("out\nxxx") && out.len() == 4 + 300_000, "{} bytes", out.len());
    assert_eq!(vm(&[], "kill -TERM $$").status.code(), Some(128 + 15));

    let missing = Command::new(env!("CARGO_BIN_EXE_reeve-vm")).args(["--", "no-such-program"]).output();
    let missing = missing.expect("the runner");
    assert_eq!(missing.status.code(), Some(127));
    assert!(said(&missing.stderr).contains("no-such-program"), "{}", said(&missing.stderr));
}

#[test]
fn a_pure_cgroup_v2_node() {
    let script = "cd /sys/fs/cgroup && cat cgroup.subtree_control && grep cgroup /proc/self/cgroup /proc/mounts
        mkdir t && echo 16777216 >t/memory.max && cat t/memory.max && test -e t/cpu.max -a -e t/pids.max -a -e t/cpuset.cpus
        nproc; ls /proc/sys/net/ipv4/conf; echo $GIVEN $REEVE_VM";
    let output = vm(&["-c", "2", "-e", "GIVEN=gift"], script);
    let out = said(&output.stdout);
    assert!(output.status.success(), "{out}{}", said(&output.stderr));
    let controllers: Vec<_> = out.lines().next().unwrap_or_default().split(' ').collect();
    for wanted in ["cpu", "cpuset", "io", "memory", "pids"] {
        assert!(controllers.contains(&wanted), "{wanted}: {out}");
    }
    assert!(!out.contains("cgroup rw") && out.contains("cgroup2"), "{out}");
    for wanted in ["16777216", "\n2\n", "lo", "gift 1"] {
        assert!(out.contains(wanted), "{wanted}: {out}");
    }
}

#[test]
fn the_host_is_only_written_through_writable_shares() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().display().to_string();
    fs::write(directory.path().join("given"), "from the host").expect("a file");
    let marker = format!("/etc/reeve-vm-{}", std::process::id());
    let script = format!(
        "touch {marker} /root/x && cat /open/given /shut/given && echo back >/open/taken && ! touch /shut/taken"
    );
    let shares = [format!("{path}:/open:rw"), format!("{path}:/shut")];
    let output = vm(&["--share", &shares[0], "--share", &shares[1]], &script);
    assert!(output.status.success(), "{}", said(&output.stderr));
    assert_eq!(said(&output.stdout), "from the hostfrom the host");
    assert_eq!(fs::read_to_string(directory.path().join("taken")).expect("a file"), "back\n");
    assert!(!fs::exists(&marker).expect("a look"));
}

#[test]
fn its_time_is_limited() {
    let output = vm(&["-t", "3"], "echo started; sleep 100");
    assert_eq!(output.status.code(), Some(124), "{}", said(&output.stderr));
    assert_eq!(said(&output.stdout), "started\n");
}

#[test]
fn it_dies_with_its_runner() {
    // A runner that is killed cannot remove its directory.
    let directory = tempfile::tempdir().expect("a directory");
    let mut runner = Command::new(env!("CARGO_BIN_EXE_reeve-vm"))
        .args(["-t", "60", "--", "sleep", "50"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the runner");
    let id = runner.id();
    let children = move || fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    until("the guest to start", 20, || !children().trim().is_empty());
    let guest = children().trim().to_owned();
    runner.kill().expect("kill");
    runner.wait().expect("wait");
    let state = move || fs::read_to_string(format!("/proc/{guest}/stat")).unwrap_or_default();
    // Whoever takes in orphans here may be slow to reap: a zombie is dead.
    until("the guest to die", 10, || state().is_empty() || state().contains(") Z "));
}
