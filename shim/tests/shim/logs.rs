use std::fs;
use std::time::Instant;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use reeve_proto::shim::{ReopenLog, request};

use crate::pod::{Pod, entries, eventually};

#[test]
fn long_lines_are_split_and_the_rest_kept() {
    let pod = Pod::new();
    pod.run(&pod.script("c", "yes | head -c 40000 | busybox tr -d '\\n'; echo; printf end"));
    pod.wait("c", "");
    let log = pod.log("c");
    let shape: Vec<_> = log.iter().map(|line| (&line[..8], line.len() - 9)).collect();
    assert_eq!(shape, [("stdout P", 16384), ("stdout F", 20000 - 16384), ("stdout F", 3)]);
    pod.shut_down();
}

#[test]
fn a_rotated_log_goes_on_in_a_new_file() {
    let pod = Pod::new();
    let mut plan = pod.script("c", "echo one; read x; echo two");
    plan.create.stdin = true;
    pod.run(&plan);
    pod.await_log("c", "stdout F one");
    fs::rename(pod.path("c.log"), pod.path("c.log.1")).unwrap();
    pod.ask(request::Kind::ReopenLog(ReopenLog { container_id: "c".into() })).unwrap();
    let (stdin, to) = nix::unistd::pipe().unwrap();
    let attach =
        reeve_proto::shim::Attach { container_id: "c".into(), has_stdin: true, ..Default::default() };
    pod.client().call(request::Kind::Attach(attach), vec![stdin]).unwrap();
    nix::unistd::write(&to, b"\n").unwrap();
    pod.wait("c", "");
    assert_eq!(entries(&pod.path("c.log.1")), ["stdout F one"]);
    assert_eq!(pod.log("c"), ["stdout F two"]);
    pod.shut_down();
}

/// A mount that goes with the test, also when that fails.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_drops_whole_lines_and_the_container_goes_on() {
    let pod = Pod::new();
    let disk = pod.path("disk");
    fs::create_dir(&disk).unwrap();
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=128k")).unwrap();
    let mounted = Mounted(disk.clone());
    let mut plan = pod.script("c", "yes 0123456789 | head -n 20000; read x; echo after");
    plan.create.stdin = true;
    plan.create.log_path = disk.join("c.log").to_str().unwrap().into();
    pod.run(&plan);
    let note = || fs::read_to_string(pod.path("shim/shim.log")).unwrap();
    eventually("the note in shim.log", || note().contains("output is dropped"));
    // All that came was whole lines, and when there is room again it goes on.
    let (stdin, to) = nix::unistd::pipe().unwrap();
    let attach =
        reeve_proto::shim::Attach { container_id: "c".into(), has_stdin: true, ..Default::default() };
    pod.client().call(request::Kind::Attach(attach), vec![stdin]).unwrap();
    mount(None::<&str>, &disk, None::<&str>, MsFlags::MS_REMOUNT, Some("size=4m")).unwrap();
    nix::unistd::write(&to, b"\n").unwrap();
    assert_eq!(pod.wait("c", "").exit_code, 0);
    let log = entries(&disk.join("c.log"));
    drop(mounted);
    let (last, first) = log.split_last().unwrap();
    assert_eq!(last, "stdout F after");
    assert!(first.len() > 1000 && first.iter().all(|line| line == "stdout F 0123456789"), "{}", first.len());
    pod.shut_down();
}

#[test]
fn many_lines_are_written_fast_and_whole() {
    let pod = Pod::new();
    let line = "x".repeat(99);
    let megabytes = 100;
    let script = format!("yes {line} | head -c {megabytes}000000");
    let begin = Instant::now();
    pod.run(&pod.script("c", &script));
    pod.wait("c", "");
    let took = begin.elapsed();
    let size = fs::metadata(pod.path("c.log")).unwrap().len();
    assert_eq!(size, megabytes * 10_000 * (100 + 40));
    let ticks = fs::read_to_string(format!("/proc/{}/stat", pod.pong.pid)).unwrap();
    let fields: Vec<&str> = ticks.rsplit(") ").next().unwrap().split(' ').collect();
    let cpu = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    eprintln!(
        "{:.0} MB/s of 100-byte lines, {} ms of CPU for {megabytes} MB",
        megabytes as f64 / took.as_secs_f64(),
        cpu * 10
    );
    pod.shut_down();
}
