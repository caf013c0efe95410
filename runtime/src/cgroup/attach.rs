//! Making a container's directories and putting processes into them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use libcgroups::common::CgroupManager;
use nix_of_libcgroups::unistd::Pid;

use super::{Cgroup, Hierarchy, below, failed, limits, read, write};
use crate::Error;

impl Cgroup {
    /// Refuses a cgroup that has processes: they would be killed with the container. One without is taken over.
    pub(crate) fn check_free(&self) -> Result<(), Error> {
        if self.systemd.is_some() {
            return Ok(());
        }
        for directory in self.directories() {
            let procs = directory.join("cgroup.procs");
            if procs.exists() && !read(&procs)?.is_empty() {
                return Err(failed(&directory, "container's cgroup is not empty"));
            }
        }
        Ok(())
    }

    /// Makes the directories.
    pub(crate) fn make(&self) -> Result<(), Error> {
        if self.systemd.is_some() {
            return Ok(());
        }
        self.hierarchies
            .iter()
            .try_for_each(|hierarchy| make_directory(&hierarchy.mount, &self.path, hierarchy))
    }

    /// The directory to be born in, `CLONE_INTO_CGROUP`; none on v1 and with systemd.
    pub(crate) fn birthplace(&self) -> Result<Option<OwnedFd>, Error> {
        if !self.unified || self.systemd.is_some() {
            return Ok(None);
        }
        let Some(directory) = self.directories().next() else { return Ok(None) };
        File::open(&directory).map(|file| Some(file.into())).map_err(|error| failed(&directory, error))
    }

    /// Puts process `pid` into every directory; `born` says that it is in the v2 one already. With systemd this is
    /// what makes the cgroup.
    pub(crate) fn attach(&mut self, pid: i32, born: bool) -> Result<(), Error> {
        if let Some(name) = &self.systemd {
            let manager = limits::systemd_manager(name)?;
            manager.add_task(Pid::from_raw(pid)).map_err(|error| failed(Path::new(name), error))?;
            if self.path.as_os_str().is_empty() {
                self.path = v2_path_of(pid)?;
            }
            return Ok(());
        }
        self.attach_below(pid, Path::new(""), born)
    }

    /// Puts process `pid` into the cgroup `sub` below the container's, which must exist.
    pub(crate) fn attach_below(&self, pid: i32, sub: &Path, born: bool) -> Result<(), Error> {
        for hierarchy in &self.hierarchies {
            if born && self.unified && hierarchy.is_v2() {
                continue;
            }
            let procs = below(&self.directory(hierarchy), sub).join("cgroup.procs");
            write(&procs, &pid.to_string())?;
        }
        Ok(())
    }
}

/// The v2 cgroup that a process is in, cgroups(7).
fn v2_path_of(pid: i32) -> Result<PathBuf, Error> {
    let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
    let text = std::fs::read_to_string(&file).map_err(|error| Error::file("read", &file, error))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"));
    path.map(PathBuf::from).ok_or_else(|| failed(&file, "the process is in no v2 cgroup"))
}

/// Makes `path` below `mount`, each directory ready for use.
fn make_directory(mount: &Path, path: &Path, hierarchy: &Hierarchy) -> Result<(), Error> {
    let mut directory = mount.to_owned();
    for name in path.components().filter(|part| matches!(part, std::path::Component::Normal(_))) {
        if hierarchy.is_v2() {
            enable_controllers(&directory);
        }
        let parent = directory.clone();
        directory.push(name);
        match std::fs::create_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(&directory, format!("make the directory: {error}")));
            }
            _ => {}
        }
        if hierarchy.controllers.iter().any(|name| name == "cpuset") {
            inherit_cpuset(&parent, &directory)?;
        }
    }
    Ok(())
}

/// Hands every controller of `directory` on to its children. What cannot be handed on shows when a limit is set.
fn enable_controllers(directory: &Path) {
    let Ok(available) = read(&directory.join("cgroup.controllers")) else { return };
    let enabled = read(&directory.join("cgroup.subtree_control")).unwrap_or_default();
    let missing = |name: &&str| !enabled.split_whitespace().any(|known| known == *name);
    for name in available.split_whitespace().filter(missing) {
        // Refused for a controller that is in use by threads or by v1; the others still count.
        let _ = write(&directory.join("cgroup.subtree_control"), &format!("+{name}"));
    }
}

/// A v1 cpuset takes no process while its CPUs or memory nodes are unset: they start as the parent's.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), Error> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if read(&child.join(name))?.trim().is_empty() {
            write(&child.join(name), read(&parent.join(name))?.trim())?;
        }
    }
    Ok(())
}
