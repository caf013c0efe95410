//! What a test may not leave behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::World;

/// Fails when something is left of an engine whose pods are all removed.
#[expect(clippy::disallowed_methods, reason = "processes of others end without telling us")]
pub(crate) fn assert_none(world: &World) {
    let began = Instant::now();
    loop {
        let left = find(world);
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "left behind:\n{}", left.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn find(world: &World) -> Vec<String> {
    let (dir, cgroup) = (&world.dir, &world.cgroup);
    let mut left = Vec::new();
    let text = dir.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // Namespaces made ahead for the next pods are in the directory of pins, and are no pod's.
    let of_pods = |line: &&str| line.contains(&text) && !line.contains("/netns");
    left.extend(mounts.lines().filter(of_pods).map(|line| format!("mount {line}")));
    left.extend(processes(&text));
    for parent in ["run/sandboxes", "run/shims", "run/containers", "root/containers"] {
        left.extend(names(&dir.join(parent)).into_iter().map(|name| format!("{parent}/{name}")));
    }
    let pins = names(&dir.join("run/netns"));
    left.extend(pins.into_iter().filter(|name| name.len() == 64).map(|name| format!("netns {name}")));
    for hierarchy in hierarchies() {
        let path = hierarchy.join(cgroup.trim_start_matches('/'));
        left.extend(subdirs(&path).iter().map(|dir| format!("cgroup {}", dir.display())));
    }
    let fresh = |name: &String| name != "rvengine0" && !world.links.contains(name);
    left.extend(links().into_iter().filter(fresh).map(|name| format!("link {name}")));
    left.extend(rules());
    left
}

fn processes(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(Path::new("/proc")) {
        let Ok(pid) = name.parse::<u32>() else { continue };
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if pid != std::process::id() && command.contains(dir) {
            found.push(format!("process {pid} {}", command.replace('\0', " ")));
        }
    }
    found
}

/// Interfaces of this network namespace.
pub(crate) fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Elements of nftables' sets and maps: host ports and addresses of pods.
fn rules() -> Vec<String> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().expect("nft of nftables is needed");
    let text = String::from_utf8(output.stdout).unwrap();
    let pods = |line: &&str| {
        line.contains("10.78.0.") && !line.contains("10.78.0.0/24") && !line.contains("10.78.0.1 ")
    };
    text.lines().filter(pods).map(|line| format!("rule {}", line.trim())).collect()
}

/// Removes the cgroup that all of a test's were below.
pub(crate) fn remove_cgroup(cgroup: &str) {
    for hierarchy in hierarchies() {
        let path = hierarchy.join(cgroup.trim_start_matches('/'));
        if path.exists() {
            fs::remove_dir(&path).unwrap();
        }
    }
}

pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let cgroups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    cgroups.map(|line| PathBuf::from(line.split(' ').nth(4).unwrap())).collect()
}

fn subdirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
