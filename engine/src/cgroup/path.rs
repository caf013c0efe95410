//! How a sandbox's cgroup is called, by the cgroupfs and the systemd driver.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Parent of a sandbox's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupPath {
    /// Below the root of each hierarchy, without a leading slash.
    dir: PathBuf,
    /// Name of the slice, with the systemd driver.
    slice: Option<String>,
    /// Ours to remove, as it was not there before the sandbox.
    pub(crate) own: bool,
}

impl CgroupPath {
    /// `parent` is what the caller asked for; empty: `<default>/<id>`.
    pub(crate) fn new(parent: &str, default: &str, id: &str, systemd: bool) -> Result<Self> {
        if systemd {
            let slice = if parent.is_empty() { default } else { parent };
            // The kubelet gives the whole path; systemd wants the last name, which holds all others.
            let slice = slice.rsplit('/').next().unwrap_or_default().to_owned();
            return Ok(Self { dir: slice_path(&slice)?, slice: Some(slice), own: false });
        }
        let dir = match parent {
            "" => Path::new(default).join(id),
            parent => PathBuf::from(parent),
        };
        let dir: PathBuf = dir.components().filter(|part| *part != std::path::Component::RootDir).collect();
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        if dir.as_os_str().is_empty() || !dir.components().all(plain) {
            return Err(invalid(format!("{:?} is not the path of a cgroup", dir.display())));
        }
        Ok(Self { dir, slice: None, own: true })
    }

    /// The sandbox's own directory, below each hierarchy.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether systemd makes it.
    pub(crate) fn is_slice(&self) -> bool {
        self.slice.is_some()
    }

    /// `linux.cgroupsPath` of a container (OCI runtime specification, config-linux.md; `slice:prefix:name` as
    /// runc takes it with the systemd driver).
    pub(crate) fn oci(&self, container: &str) -> String {
        match &self.slice {
            Some(slice) => format!("{slice}:reeve:{container}"),
            None => format!("/{}/{container}", self.dir.display()),
        }
    }

    /// A container's directory, below each hierarchy.
    pub(crate) fn container_dir(&self, container: &str) -> PathBuf {
        match self.slice {
            Some(_) => self.dir.join(format!("reeve-{container}.scope")),
            None => self.dir.join(container),
        }
    }
}

/// `a-b.slice` lies in `a.slice/a-b.slice` (systemd.slice(5)).
fn slice_path(slice: &str) -> Result<PathBuf> {
    let not_a_slice = || invalid(format!("{slice:?} is not the name of a slice (with the systemd driver)"));
    let name = slice.strip_suffix(".slice").ok_or_else(not_a_slice)?;
    if name == "-" {
        return Ok(PathBuf::new());
    }
    if name.is_empty() || name.split('-').any(str::is_empty) {
        return Err(not_a_slice());
    }
    let ends = name.match_indices('-').map(|(end, _)| end).chain([name.len()]);
    Ok(ends.map(|end| format!("{}.slice", &name[..end])).collect())
}

fn invalid(problem: String) -> Error {
    Error::Invalid { field: "cgroup_parent", problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_by_driver() {
        for (parent, default, systemd, dir, oci) in [
            ("", "/reeve", false, "reeve/s", "/reeve/s/c"),
            (
                "/kubepods/burstable/podx",
                "/reeve",
                false,
                "kubepods/burstable/podx",
                "/kubepods/burstable/podx/c",
            ),
            ("", "reeve.slice", true, "reeve.slice", "reeve.slice:reeve:c"),
            (
                "/kubepods.slice/kubepods-pod1.slice",
                "reeve.slice",
                true,
                "kubepods.slice/kubepods-pod1.slice",
                "kubepods-pod1.slice:reeve:c",
            ),
        ] {
            let path = CgroupPath::new(parent, default, "s", systemd).unwrap();
            assert_eq!((path.dir(), path.oci("c")), (Path::new(dir), oci.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (parent, systemd) in
            [("/", false), ("../x", false), ("/a/../b", false), ("kubepods", true), ("a--b.slice", true)]
        {
            assert!(CgroupPath::new(parent, "/reeve", "s", systemd).is_err(), "{parent}");
        }
    }
}
