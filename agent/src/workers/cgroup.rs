//! The cgroup of a pod, which outlives its sandboxes and is removed with the pod.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::spec::cgroup_parent;

/// Removes a pod's cgroup from every hierarchy; the runtime made it and keeps it between sandboxes.
pub(super) fn remove(parent: &str, pod: &Pod) {
    let path = cgroup_parent(parent, pod);
    // Only what we laid out ourselves, and no systemd slice.
    if !path.starts_with('/') {
        return;
    }
    let root = Path::new("/sys/fs/cgroup");
    let below = path.trim_start_matches('/');
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_path_buf()]) {
        // Removing fails while a process is in it, and where there is none; neither is ours to solve.
        let _ = std::fs::remove_dir(hierarchy.join(below));
    }
}
