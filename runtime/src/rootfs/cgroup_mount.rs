//! Mounts of type `cgroup`: the hierarchies as the container may see them.
//!
//! In a cgroup namespace of its own the container gets real cgroup mounts, whose root is its own cgroup. Without one
//! only its own directories are bound: the whole tree would show, and let it write, other containers' limits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::mounts::file_system;
use super::resolve::{self, Want};
use super::{apply, mounts};
use crate::cgroup::{Cgroup, Hierarchy};
use crate::mount::options::{Change, Options};
use crate::sys::mount::{attach, attr, clone_path};

/// What the child knows of its cgroup.
pub(crate) struct CgroupView {
    pub(crate) cgroup: Cgroup,
    /// Whether it is in a cgroup namespace of its own.
    pub(crate) namespace: bool,
}

impl CgroupView {
    /// Mounts the hierarchies at `target`.
    pub(super) fn mount(&self, target: BorrowedFd<'_>, options: &Options) -> io::Result<()> {
        if self.cgroup.unified {
            let Some(hierarchy) = self.cgroup.hierarchies.first() else { return Ok(()) };
            return self.one(hierarchy, target, options.own);
        }
        let inner =
            Options { data: vec![(String::from("mode"), Some(String::from("755")))], ..Options::default() };
        let base = file_system(
            "tmpfs",
            Some("tmpfs"),
            &Options { own: Change { set: mounts::HARMLESS, clear: 0 }, ..inner },
            &[],
        )?;
        attach(base.as_fd(), target)?;
        for hierarchy in &self.cgroup.hierarchies {
            let Some(name) = hierarchy.mount.file_name() else { continue };
            let place = resolve::ensure(base.as_fd(), Path::new(name), Want::Directory)?;
            self.one(hierarchy, place.as_fd(), options.own)?;
            link_controllers(base.as_fd(), hierarchy)?;
        }
        // Last, so that the directories above could be made.
        apply(&base, Change { set: options.own.set & attr::RDONLY, clear: 0 }, false)
    }

    fn one(&self, hierarchy: &Hierarchy, target: BorrowedFd<'_>, own: Change) -> io::Result<()> {
        let tree = if self.namespace { new_mount(hierarchy, own)? } else { self.bound(hierarchy, own)? };
        attach(tree.as_fd(), target)
    }

    fn bound(&self, hierarchy: &Hierarchy, own: Change) -> io::Result<OwnedFd> {
        let tree = clone_path(&self.cgroup.directory(hierarchy), false)?;
        apply(&tree, own, false)?;
        Ok(tree)
    }
}

fn new_mount(hierarchy: &Hierarchy, own: Change) -> io::Result<OwnedFd> {
    let mut options = Options { own, ..Options::default() };
    let kind = if hierarchy.is_v2() { "cgroup2" } else { "cgroup" };
    for controller in &hierarchy.controllers {
        match controller.split_once('=') {
            // A hierarchy without controllers has a name and says `none`.
            Some((key, name)) => {
                options.data.push((String::from("none"), None));
                options.data.push((key.to_owned(), Some(name.to_owned())));
            }
            None => options.data.push((controller.clone(), None)),
        }
    }
    file_system(kind, Some(kind), &options, &[])
}

/// `cpu` and `cpuacct` as links to `cpu,cpuacct`, where programs look for them.
fn link_controllers(base: BorrowedFd<'_>, hierarchy: &Hierarchy) -> io::Result<()> {
    let Some(name) = hierarchy.mount.file_name() else { return Ok(()) };
    for controller in hierarchy.controllers.iter().filter(|one| !one.contains('=') && name != one.as_str()) {
        match nix::unistd::symlinkat(name, base, controller.as_str()) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
