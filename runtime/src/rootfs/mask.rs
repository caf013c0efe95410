//! Masked and read-only paths.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::mounts::{HARMLESS, file_system};
use super::{devices, resolve};
use crate::Error;
use crate::mount::options::{Change, Options};
use crate::sys::fs::{is_type, stat};
use crate::sys::mount::{Attributes, attach, attr, clone_tree, set_attributes};

/// Hides the files and directories of `paths`: files show as /dev/null, directories as empty. A path that does not
/// exist has nothing to hide.
pub(super) fn mask(root: &OwnedFd, paths: &[String]) -> Result<(), Error> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let failed = |error| Error::setup(format!("linux.maskedPaths: mask {path}"), error);
        let Some(target) = existing(root, path).map_err(failed)? else { continue };
        let is_directory = is_type(&stat(target.as_fd()).map_err(failed)?, libc::S_IFDIR);
        let cover =
            if is_directory { cover_directory(&mut empty, &target) } else { cover_file(&mut null, &target) };
        cover.map_err(failed)?;
    }
    Ok(())
}

fn cover_file(null: &mut Option<OwnedFd>, target: &OwnedFd) -> io::Result<()> {
    let source = match null {
        Some(null) => null,
        None => null.insert(devices::host_null()?),
    };
    attach(clone_tree(source.as_fd(), c"", false)?.as_fd(), target.as_fd())
}

/// One empty file system serves all directories: the first is attached, the others are binds of it.
fn cover_directory(empty: &mut Option<OwnedFd>, target: &OwnedFd) -> io::Result<()> {
    if let Some(first) = empty {
        return attach(clone_tree(first.as_fd(), c"", false)?.as_fd(), target.as_fd());
    }
    let options = Options {
        own: Change { set: attr::RDONLY | HARMLESS, clear: 0 },
        data: vec![
            (String::from("size"), Some(String::from("0"))),
            (String::from("nr_inodes"), Some(String::from("1"))),
            (String::from("mode"), Some(String::from("755"))),
        ],
        ..Options::default()
    };
    let tree = file_system("tmpfs", Some("tmpfs"), &options, &[])?;
    attach(tree.as_fd(), target.as_fd())?;
    *empty = Some(tree);
    Ok(())
}

/// Makes the files and directories of `paths` read-only, with what is mounted below them.
pub(super) fn make_readonly(root: &OwnedFd, paths: &[String]) -> Result<(), Error> {
    for path in paths {
        let failed = |error| Error::setup(format!("linux.readonlyPaths: bind {path}"), error);
        let Some(target) = existing(root, path).map_err(failed)? else { continue };
        let bind = || -> io::Result<()> {
            let tree = clone_tree(target.as_fd(), c"", true)?;
            set_attributes(tree.as_fd(), &Attributes { set: attr::RDONLY, ..Attributes::default() }, true)?;
            attach(tree.as_fd(), target.as_fd())
        };
        bind().map_err(failed)?;
    }
    Ok(())
}

fn existing(root: &OwnedFd, path: &str) -> io::Result<Option<OwnedFd>> {
    match resolve::open(root.as_fd(), Path::new(path)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(None),
        other => other.map(Some),
    }
}
