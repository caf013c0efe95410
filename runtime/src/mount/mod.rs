//! Detached mounts: file systems that no path leads to until they are attached.

pub(crate) mod options;
mod overlay;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

pub use overlay::overlay;

use crate::Error;
use crate::sys::mount::{Attributes, clone_path, set_attributes};

/// A detached copy of the mount tree at `path`, as `mount --rbind` would attach. What is mounted into it later stays
/// invisible at `path`, the other way round it shows.
pub fn bind_tree(path: &Path) -> Result<OwnedFd, Error> {
    let tree = clone_path(path, true).map_err(|error| Error::file("open_tree", path, error))?;
    let attributes = Attributes { propagation: libc::MS_SLAVE, ..Attributes::default() };
    set_attributes(tree.as_fd(), &attributes, true)
        .map_err(|error| Error::file("mount_setattr", path, error))?;
    Ok(tree)
}
