//! The root file system of a container: what the parent prepares and what the child does with it.
//!
//! The parent opens whatever has a path on the host (the root, the sources of bind mounts) as detached mounts, with its
//! own rights and before the clone. The child attaches them in its own mount namespace, every target resolved in the
//! container's root, and moves into the root last.

mod cgroup_mount;
mod console;
mod devices;
mod mask;
mod mounts;
mod pivot;
mod resolve;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use oci_spec::runtime::Spec;

pub(crate) use cgroup_mount::CgroupView;
pub(crate) use console::{bind_console, open_terminal};

use crate::Error;
use crate::mount::options::Change;
use crate::namespaces::flag;
use crate::sys::mount::{Attributes, attach, attr, clone_path, set_attributes};

/// Everything about the root that is known before the clone.
pub(crate) struct Rootfs<'a> {
    spec: &'a Spec,
    /// The root as a detached mount.
    tree: OwnedFd,
    /// Where it is attached while it is filled, in the host's tree.
    place: PathBuf,
    mounts: Vec<mounts::Prepared>,
    readonly: bool,
    /// `MS_*` of `linux.rootfsPropagation` and whether it holds for the mounts below.
    propagation: Option<(u64, bool)>,
    no_pivot: bool,
    /// Device nodes cannot be made in a user namespace: the host's are bound.
    bind_devices: bool,
}

/// What the parent knows besides the configuration.
pub(crate) struct Given<'a> {
    pub(crate) bundle: &'a Path,
    /// The caller's own root, detached.
    pub(crate) tree: Option<OwnedFd>,
    /// A directory that may be mounted over when `root.path` is none.
    pub(crate) spare: &'a Path,
    pub(crate) no_pivot: bool,
}

impl<'a> Rootfs<'a> {
    pub(crate) fn prepare(spec: &'a Spec, namespaces: u64, given: Given<'_>) -> Result<Rootfs<'a>, Error> {
        let root = spec.root().as_ref();
        let path = root.map(|root| given.bundle.join(root.path()));
        let (tree, place) = match (given.tree, path) {
            (Some(tree), path) => (tree, path.filter(|path| path.is_dir()).unwrap_or(given.spare.to_owned())),
            (None, Some(path)) => {
                let wrong = |error| Error::config("root.path", format!("{}: {error}", path.display()));
                if !path.is_dir() {
                    return Err(wrong(std::io::Error::from_raw_os_error(libc::ENOENT)));
                }
                (clone_path(&path, true).map_err(wrong)?, path)
            }
            (None, None) => return Err(Error::config("root", "is missing")),
        };
        // Mounts below the host's root come in but not out.
        let slave = Attributes { propagation: libc::MS_SLAVE, ..Attributes::default() };
        set_attributes(tree.as_fd(), &slave, true)
            .map_err(|error| Error::setup("root.path: mount_setattr", error))?;
        let linux = spec.linux().as_ref();
        let propagation = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
        Ok(Rootfs {
            spec,
            tree,
            place,
            mounts: mounts::prepare(spec, given.bundle)?,
            readonly: root.is_some_and(|root| root.readonly().unwrap_or(false)),
            propagation: propagation.map(propagation_of).transpose()?.flatten(),
            no_pivot: given.no_pivot,
            bind_devices: namespaces & flag::USER != 0,
        })
    }

    /// Fills the root. Runs in the child's mount namespace with the host's tree still in view. `attached` is called
    /// where a terminal can be made: after the mounts and devices.
    pub(crate) fn build(
        &self,
        cgroup: &CgroupView,
        cwd: &Path,
        terminal: impl FnOnce(&OwnedFd) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let none: Option<&str> = None;
        // Nothing that is mounted from here on shows on the host.
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
            .map_err(|error| Error::setup("make / a slave mount", error))?;
        let place = File::open(&self.place).map_err(|error| Error::file("open", &self.place, error))?;
        attach(self.tree.as_fd(), place.as_fd())
            .map_err(|error| Error::setup(format!("attach the root at {}", self.place.display()), error))?;
        drop(place);
        for mount in &self.mounts {
            mount.attach(&self.tree, cgroup)?;
        }
        let binds_dev = self.mounts.iter().any(mounts::Prepared::binds_dev);
        if !binds_dev {
            devices::make_all(&self.tree, self.spec, self.bind_devices)?;
        }
        resolve::ensure(self.tree.as_fd(), cwd, resolve::Want::Directory)
            .map_err(|error| Error::setup(format!("process.cwd: make {}", cwd.display()), error))?;
        terminal(&self.tree)?;
        if let Some(linux) = self.spec.linux() {
            mask::make_readonly(&self.tree, linux.readonly_paths().as_deref().unwrap_or_default())?;
            mask::mask(&self.tree, linux.masked_paths().as_deref().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Makes the root `/` and leaves the host's tree behind.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        if self.no_pivot {
            pivot::move_root(&self.tree)?
        } else {
            pivot::pivot(&self.tree)?
        }
        let change = |attributes: Attributes, recursive: bool, step: &str| {
            set_attributes(self.tree.as_fd(), &attributes, recursive)
                .map_err(|error| Error::setup(step, error))
        };
        if let Some((propagation, recursive)) = self.propagation {
            change(
                Attributes { propagation, ..Attributes::default() },
                recursive,
                "linux.rootfsPropagation",
            )?;
        }
        if self.readonly {
            change(Attributes { set: attr::RDONLY, ..Attributes::default() }, false, "root.readonly")?;
        }
        Ok(())
    }
}

fn propagation_of(name: &str) -> Result<Option<(u64, bool)>, Error> {
    Ok(match name {
        // What it is made of is a slave already.
        "" | "slave" | "rslave" => None,
        "private" => Some((libc::MS_PRIVATE, false)),
        "rprivate" => Some((libc::MS_PRIVATE, true)),
        "shared" => Some((libc::MS_SHARED, false)),
        "rshared" => Some((libc::MS_SHARED, true)),
        "unbindable" => Some((libc::MS_UNBINDABLE, false)),
        "runbindable" => Some((libc::MS_UNBINDABLE, true)),
        other => {
            return Err(Error::config(
                "linux.rootfsPropagation",
                format!("{other:?} is no mode of propagation"),
            ));
        }
    })
}

/// Applies a change of mount attributes, if there is one.
fn apply(tree: &OwnedFd, change: Change, recursive: bool) -> std::io::Result<()> {
    if change.is_empty() {
        return Ok(());
    }
    set_attributes(
        tree.as_fd(),
        &Attributes { set: change.set, clear: change.clear, ..Attributes::default() },
        recursive,
    )
}
