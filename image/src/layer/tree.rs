//! A layer's folder, acted on by descriptor: no path of a tar is ever handed to the kernel in a way
//! that could resolve outside (openat2(2), RESOLVE_IN_ROOT).

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::TreePath;
use super::remove::remove_tree;

/// What stood in the way of a new entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleared {
    Nothing,
    Whiteout,
    Folder,
    Other,
}

/// The folder of a layer, and the folder for what is replaced in it.
pub(crate) struct Tree {
    root: OwnedFd,
    trash: OwnedFd,
    /// The folder of the last entry: tars list a folder's entries one after the other.
    last: Option<(Vec<u8>, Arc<OwnedFd>)>,
}

impl Tree {
    pub(crate) fn new(root: OwnedFd, trash: OwnedFd) -> Tree {
        Tree { root, trash, last: None }
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The folder that holds `path`; `None` where it, or something above, is missing.
    pub(crate) fn parent(&mut self, path: &TreePath) -> io::Result<Option<Arc<OwnedFd>>> {
        let (folder, _) = path.split();
        if let Some((last, fd)) = &self.last
            && last == folder
        {
            return Ok(Some(Arc::clone(fd)));
        }
        match open_in_root(self.root.as_fd(), folder, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(fd) => {
                let fd = Arc::new(fd);
                self.last = Some((folder.to_vec(), Arc::clone(&fd)));
                Ok(Some(fd))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder itself for reading; `None` where it is gone or is a folder no more.
    pub(crate) fn open_dir(&self, path: &TreePath) -> io::Result<Option<OwnedFd>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        match open_in_root(self.root.as_fd(), path.as_bytes(), flags) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes way for a new entry. A folder stays where the new entry is a folder too.
    pub(crate) fn clear(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CString,
        for_folder: bool,
    ) -> io::Result<Cleared> {
        let stat = match fstatat(folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(Cleared::Nothing),
            Err(error) => return Err(error.into()),
        };
        if is_dir(&stat) {
            if !for_folder {
                self.last = None;
                remove_tree(folder, name, self.trash.as_fd())?;
            }
            return Ok(Cleared::Folder);
        }
        unlinkat(folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        // A symlink may have been on the way to the remembered folder.
        self.last = None;
        Ok(if is_whiteout(&stat) { Cleared::Whiteout } else { Cleared::Other })
    }
}

/// Opens `path` below `root`; symlinks and `..` on the way cannot leave it. Empty is the root itself.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_XDEV,
    );
    loop {
        match openat2(root, path, how) {
            // The kernel could not rule out a race with a rename elsewhere on the machine.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

pub(crate) fn is_dir(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

/// A character device 0:0 is how overlayfs marks what a layer removes.
pub(crate) fn is_whiteout(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits() && stat.st_rdev == 0
}

pub(crate) fn make_whiteout(folder: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
    Ok(mknodat(folder, name.as_c_str(), SFlag::S_IFCHR, Mode::empty(), makedev(0, 0))?)
}

/// Makes a folder; its final mode comes at the end.
pub(crate) fn make_dir(folder: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    mkdirat(folder, name.as_c_str(), Mode::from_bits_truncate(0o755))
}

/// Folders that a tar only implied, or that it described: what they are to become at the end.
pub(crate) type Folders<T> = HashMap<TreePath, T>;
