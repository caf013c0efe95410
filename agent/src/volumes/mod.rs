//! A pod's volumes on disk: `<root>/pods/<uid>/volumes/<kind>/<name>`, laid out as the kubelet does.
//!
//! Everything here is idempotent, so that an interrupted set-up is simply done again, and a removal never
//! crosses a mount or follows a link out of the pod's directory.

mod empty_dir;
mod host_path;
mod subpath;
mod teardown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use reeve_proto::cri as proto;
pub(crate) use teardown::tear_down;

/// Why a volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("volume {volume:?}: {path}")]
    Path { volume: String, path: PathBuf, source: std::io::Error },
    #[error("volume {volume:?}: hostPath {path} is not {expected}")]
    Type { volume: String, path: PathBuf, expected: &'static str },
    #[error("volume {0:?} is of a kind that this node cannot mount")]
    Kind(String),
    #[error("container mounts volume {0:?}, which the pod has not got")]
    Missing(String),
    #[error("volume {volume:?}: subPath {path:?}")]
    SubPath { volume: String, path: String, source: std::io::Error },
}

impl Error {
    fn at<'a>(volume: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
        move |source| Error::Path { volume: volume.to_owned(), path: path.to_path_buf(), source }
    }
}

/// Host paths of a pod's volumes, by name.
pub(crate) type Volumes = BTreeMap<String, PathBuf>;

/// Makes what is missing of a pod's volumes.
pub(crate) fn set_up(pod_dir: &Path, pod: &Pod) -> Result<Volumes, Error> {
    let Some(spec) = &pod.spec else { return Ok(Volumes::new()) };
    let fs_group = spec.security_context.as_ref().and_then(|s| s.fs_group);
    let mut paths = Volumes::new();
    for volume in spec.volumes.iter().flatten() {
        let path = match (&volume.empty_dir, &volume.host_path) {
            (Some(empty), _) => empty_dir::set_up(pod_dir, &volume.name, empty, fs_group, spec)?,
            (None, Some(host)) => host_path::set_up(&volume.name, host)?,
            (None, None) => return Err(Error::Kind(volume.name.clone())),
        };
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

/// Mounts of a container's volumes. `expand` resolves `$(VAR)` in subPathExpr.
pub(crate) fn mounts(
    pod_dir: &Path,
    volumes: &Volumes,
    c: &Container,
    expand: &dyn Fn(&str) -> String,
) -> Result<Vec<proto::Mount>, Error> {
    let mut mounts = Vec::new();
    for (index, mount) in c.volume_mounts.iter().flatten().enumerate() {
        let volume = volumes.get(&mount.name).ok_or_else(|| Error::Missing(mount.name.clone()))?;
        let sub = match &mount.sub_path_expr {
            Some(expr) => expand(expr),
            None => mount.sub_path.clone().unwrap_or_default(),
        };
        let host = if sub.is_empty() {
            volume.clone()
        } else {
            let target =
                pod_dir.join("volume-subpaths").join(&mount.name).join(&c.name).join(index.to_string());
            subpath::set_up(&mount.name, volume, &sub, &target)?
        };
        mounts.push(cri_mount(mount, &host));
    }
    Ok(mounts)
}

fn cri_mount(mount: &VolumeMount, host: &Path) -> proto::Mount {
    let read_only = mount.read_only == Some(true);
    let recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    proto::Mount {
        container_path: mount.mount_path.clone(),
        host_path: host.to_string_lossy().into_owned(),
        readonly: read_only,
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => proto::MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => proto::MountPropagation::PropagationBidirectional,
            _ => proto::MountPropagation::PropagationPrivate,
        } as i32,
        recursive_read_only: read_only && recursive,
        ..proto::Mount::default()
    }
}
