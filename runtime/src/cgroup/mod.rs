//! The cgroup of a container, on cgroup v2 and on v1 or hybrid systems.
//!
//! A container has one directory in every hierarchy (on v2 there is one hierarchy). Where they are is found out when
//! it is made and kept in its state, so that later calls read no mount table. Limits on v2 and through systemd are
//! written by libcgroups; on v1 by `limits_v1`, because libcgroups' v1 manager cannot leave the device controller alone
//! and opens more devices than a container should have.

mod attach;
mod bpf;
mod devices;
mod kill;
mod layout;
mod limits;
mod limits_v1;
mod stats;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use layout::Mounts;
pub(crate) use limits::check as check_resources;

use crate::Error;

/// A hierarchy as mounted on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// Its controllers, or `name=…`; empty for cgroup v2.
    pub(crate) controllers: Vec<String>,
}

impl Hierarchy {
    pub(crate) fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// The cgroup of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    /// Whether the limits are in cgroup v2.
    pub(crate) unified: bool,
    /// Every hierarchy that the container has a directory in.
    pub(crate) hierarchies: Vec<Hierarchy>,
    /// The directory below each hierarchy's mount, with a leading slash.
    pub(crate) path: PathBuf,
    /// `slice:prefix:name` where systemd keeps it.
    pub(crate) systemd: Option<String>,
}

impl Cgroup {
    /// The directory in `hierarchy`.
    pub(crate) fn directory(&self, hierarchy: &Hierarchy) -> PathBuf {
        below(&hierarchy.mount, &self.path)
    }

    /// All directories.
    pub(crate) fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.hierarchies.iter().map(|hierarchy| self.directory(hierarchy))
    }

    /// The v1 directory of `controller`; on v2 the one directory.
    pub(crate) fn controller(&self, controller: &str) -> Option<PathBuf> {
        let has = |hierarchy: &&Hierarchy| {
            if self.unified {
                hierarchy.is_v2()
            } else {
                hierarchy.controllers.iter().any(|name| name == controller)
            }
        };
        self.hierarchies.iter().find(has).map(|hierarchy| self.directory(hierarchy))
    }

    /// The directory where all its processes are listed.
    fn main(&self) -> Option<PathBuf> {
        ["freezer", "devices", "pids"]
            .iter()
            .find_map(|name| self.controller(name))
            .or_else(|| self.directories().next())
    }
}

/// `path` (absolute or not) below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::Cgroup { path: path.to_owned(), reason: error.to_string() }
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| failed(path, format!("write {value:?}: {error}")))
}

fn read(path: &Path) -> Result<String, Error> {
    crate::sys::fs::read_text(path).map_err(|error| failed(path, format!("read: {error}")))
}
