//! What a test may not leave behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Fails when a process still works below `dir` or something is still mounted there.
pub(crate) async fn check(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&*dir.to_string_lossy())).collect();
    assert!(left.is_empty(), "mounts are left:\n{}", left.join("\n"));

    let began = Instant::now();
    while let Some(process) = process_of(dir) {
        assert!(began.elapsed() < Duration::from_secs(5), "a process is left: {process}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn process_of(dir: &Path) -> Option<String> {
    let dir = dir.to_string_lossy().into_owned();
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) || name == std::process::id().to_string() {
            return None;
        }
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        command.contains(&dir).then(|| command.replace('\0', " "))
    })
}

/// Removes the cgroups of the test from every hierarchy; a cgroup with processes stays, and is a leak.
pub(crate) fn remove_cgroups(parent: &str) {
    let parent = parent.trim_start_matches('/');
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return };
    for hierarchy in hierarchies.flatten() {
        remove_tree(&hierarchy.path().join(parent));
    }
    remove_tree(&Path::new("/sys/fs/cgroup").join(parent));
}

fn remove_tree(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    fs::remove_dir(dir).unwrap_or_else(|error| panic!("cgroup {} is left: {error}", dir.display()));
}
