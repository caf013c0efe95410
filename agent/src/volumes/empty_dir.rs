//! `emptyDir`: a directory, or a tmpfs with `medium: Memory`.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, PodSpec};
use nix::mount::{MsFlags, mount};
use reeve_manifests::Amount;

use super::Error;

pub(super) fn set_up(
    pod_dir: &Path,
    name: &str,
    volume: &EmptyDirVolumeSource,
    fs_group: Option<i64>,
    spec: &PodSpec,
) -> Result<PathBuf, Error> {
    let path = pod_dir.join("volumes/kubernetes.io~empty-dir").join(name);
    let fail = |source| Error::at(name, &path)(source);
    let fresh = !path.exists();
    if fresh {
        DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(fail)?;
    }
    let memory = volume.medium.as_deref() == Some("Memory");
    let mounted = super::teardown::mounts_below(&path).map_err(fail)?.contains(&path);
    if memory && !mounted {
        let size = size(volume, spec);
        let options = size.map(|bytes| format!("size={bytes}"));
        mount(
            Some("tmpfs"),
            &path,
            Some("tmpfs"),
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            options.as_deref(),
        )
        .map_err(|errno| fail(errno.into()))?;
    }
    if fresh || (memory && !mounted) {
        // Anyone in the pod may write, whatever user its containers run as.
        let mode = if fs_group.is_some() { 0o2777 } else { 0o777 };
        if let Some(group) = fs_group.and_then(|g| u32::try_from(g).ok()) {
            std::os::unix::fs::chown(&path, None, Some(group)).map_err(fail)?;
        }
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(fail)?;
    }
    Ok(path)
}

/// Size of a tmpfs: its limit, and no more than the containers may use, where all of them have a limit.
fn size(volume: &EmptyDirVolumeSource, spec: &PodSpec) -> Option<i64> {
    let limits = spec.containers.iter().map(|c| {
        let limits = c.resources.as_ref().and_then(|r| r.limits.as_ref());
        limits.and_then(|l| l.get("memory")).and_then(Amount::of).map(Amount::whole)
    });
    let pod: Option<i64> = limits.sum();
    let own = volume.size_limit.as_ref().and_then(Amount::of).map(Amount::whole).filter(|bytes| *bytes > 0);
    match (own, pod) {
        (Some(own), Some(pod)) => Some(own.min(pod)),
        (own, pod) => own.or(pod),
    }
}
