//! What a node holds in the kernel and on disk, and that it is nothing once its pods are gone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Node, until};

/// Where cgroup hierarchies are mounted.
const CGROUP: &str = "/sys/fs/cgroup";

/// Everything that belongs to pods of `node`, a line each.
pub fn held(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(processes(node).into_iter().map(|(pid, line)| format!("process {pid}: {line}")));
    found.extend(mounts(node).into_iter().map(|mount| format!("mount {mount}")));
    found.extend(cgroups(node).into_iter().map(|path| format!("cgroup {}", path.display())));
    found.extend(links(node).into_iter().map(|link| format!("link {link}")));
    found.extend(rules(node).into_iter().map(|rule| format!("nftables {rule}")));
    found.extend(files(node).into_iter().map(|path| format!("file {}", path.display())));
    found
}

/// Asserts that no pod has left anything behind.
///
/// # Panics
/// With what is left after ten seconds.
pub fn assert_none(node: &Node) {
    let mut last = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let held = held(node);
        if held.is_empty() {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "left behind:\n{}\n--- daemon:\n{}",
            held.join("\n"),
            node.log()
        );
        last.clone_from(&held);
        until("another look", 5, || self::held(node) != last || std::time::Instant::now() >= deadline);
    }
}

/// Processes that name the node's paths (shims), and those in its cgroups (containers); the daemon is not
/// among them.
fn processes(node: &Node) -> Vec<(i32, String)> {
    let daemon = node.daemon_pid();
    let state = node.state.to_string_lossy().into_owned();
    let cgroup = node.cgroup_parent().to_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let shim = line.contains("reeve-shim") && line.contains(&state);
        let contained = String::from_utf8_lossy(&read("cgroup"))
            .lines()
            .any(|l| l.rsplit(':').next().is_some_and(|path| path.starts_with(&cgroup)));
        if (shim || contained) && Some(pid as u32) != daemon {
            found.push((pid, line));
        }
    }
    found
}

fn mounts(node: &Node) -> Vec<String> {
    let roots = [node.root.to_string_lossy(), node.state.to_string_lossy()];
    fs::read_to_string(format!("/proc/{}/mountinfo", node.lab().pid()))
        .expect("mountinfo")
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|target| roots.iter().any(|root| target.starts_with(&**root)))
        .map(str::to_owned)
        .collect()
}

fn hierarchies() -> Vec<PathBuf> {
    if Path::new(CGROUP).join("cgroup.controllers").exists() {
        return vec![CGROUP.into()];
    }
    fs::read_dir(CGROUP)
        .expect("cgroup")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Cgroups of pods: below a QoS class, or any that holds a process.
fn cgroups(node: &Node) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for hierarchy in hierarchies() {
        walk(&hierarchy.join(node.cgroup_parent().trim_start_matches('/')), 0, &mut found);
    }
    found
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let class = depth <= 1 && matches!(&*name, "kubepods" | "burstable" | "besteffort" | "guaranteed");
        if !class {
            found.push(path.clone());
        }
        walk(&path, depth + 1, found);
    }
}

fn links(node: &Node) -> Vec<String> {
    node.lab()
        .run(["ip", "-o", "link", "show", "type", "veth"])
        .lines()
        .filter(|line| line.contains(&format!("master {}", node.bridge())))
        .map(str::to_owned)
        .collect()
}

/// Elements and per-pod rules in the node's table: whatever names an address of a pod.
fn rules(node: &Node) -> Vec<String> {
    let listing = node.lab().output(["nft", "-j", "list", "ruleset"]);
    let text = String::from_utf8_lossy(&listing.stdout).into_owned();
    let Ok(ruleset) = serde_json::from_str::<serde_json::Value>(&text) else { return Vec::new() };
    ruleset["nftables"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|object| {
            let set = object.get("map").or_else(|| object.get("set"))?;
            let mine = set["table"].as_str().is_some_and(|table| table.contains(&node.bridge()));
            let elements = set.get("elem")?.as_array()?;
            (mine && !elements.is_empty()).then(|| format!("{} {}: {elements:?}", set["table"], set["name"]))
        })
        .collect()
}

/// Entries that pods make: shims' and sandboxes' directories, network namespaces, volumes, writable layers,
/// unfinished downloads.
fn files(node: &Node) -> Vec<PathBuf> {
    let directories = [
        node.state.join("shims"),
        node.state.join("sandboxes"),
        node.state.join("netns"),
        node.root.join("pods"),
        node.root.join("sandboxes"),
        node.root.join("containers"),
        node.root.join("content/ingest"),
    ];
    directories
        .iter()
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect()
}

/// Blobs and layers in the image store.
pub fn image_content(node: &Node) -> Vec<PathBuf> {
    [node.root.join("content/blobs/sha256"), node.root.join("layers")]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect()
}

/// Ends what is left of a node: for tests that failed, and after those that leave pods.
pub fn destroy(node: &Node) {
    for (pid, _) in processes(node) {
        // SAFETY: the process names this node's directory or sits in this node's cgroup.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !processes(node).is_empty() && std::time::Instant::now() < deadline {
        crate::wait::let_pass(0.02);
    }
    let mut paths = Vec::new();
    for hierarchy in hierarchies() {
        let top = hierarchy.join(node.cgroup_parent().trim_start_matches('/'));
        paths.push(top.clone());
        collect_deep(&top, &mut paths);
    }
    paths.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    for path in paths {
        let _ = fs::remove_dir(path);
    }
}

fn collect_deep(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            paths.push(entry.path());
            collect_deep(&entry.path(), paths);
        }
    }
}
