//! Detached mounts: file systems that no path leads to until they are attached.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::Error;

/// An overlay of `lower` (topmost first) with the writable layer `upper`, as a detached mount.
///
/// `options` are further overlayfs options (`index=off`, `metacopy=on`, `userxattr`), see the kernel's
/// `Documentation/filesystems/overlayfs.rst`.
pub fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, options: &[&str]) -> Result<OwnedFd, Error> {
    let _ = (lower, work, options);
    Err(Error::file("mount", upper, std::io::ErrorKind::Unsupported))
}

/// A detached copy of the mount tree at `path`, as `mount --rbind` would attach.
pub fn bind_tree(path: &Path) -> Result<OwnedFd, Error> {
    Err(Error::file("open_tree", path, std::io::ErrorKind::Unsupported))
}
