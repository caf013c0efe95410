//! Removing a tree of any depth with two descriptors and no recursion.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Several threads may share one trash folder.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Removes `name` in `folder`, whatever it is. A hostile tar can nest folders deeper than a path or the
/// table of descriptors reaches, so sub-folders are moved up into `trash` and emptied one by one.
/// `trash` must be on the same file system. What is not there is fine.
pub(crate) fn remove_tree(folder: BorrowedFd<'_>, name: &CStr, trash: BorrowedFd<'_>) -> io::Result<()> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(folder, name, UnlinkatFlags::RemoveDir) {
        Ok(()) => return Ok(()),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let mut work = vec![move_to_trash(folder, name, trash)?];
    while let Some(name) = work.pop() {
        empty(trash, &name, &mut work)?;
        unlinkat(trash, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

fn empty(trash: BorrowedFd<'_>, name: &CStr, work: &mut Vec<CString>) -> io::Result<()> {
    let folder = open_folder(trash, name)?;
    let mut entries = Dir::from_fd(folder.try_clone()?)?;
    for entry in entries.iter() {
        let entry = entry?;
        let child = entry.file_name();
        if matches!(child.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => is_folder(folder.as_fd(), child)?,
        };
        if !is_folder {
            unlinkat(&folder, child, UnlinkatFlags::NoRemoveDir)?;
        } else if unlinkat(&folder, child, UnlinkatFlags::RemoveDir).is_err() {
            work.push(move_to_trash(folder.as_fd(), child, trash)?);
        }
    }
    Ok(())
}

fn move_to_trash(folder: BorrowedFd<'_>, name: &CStr, trash: BorrowedFd<'_>) -> io::Result<CString> {
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let target = CString::new(format!("gone-{number:x}"))?;
        // An earlier, interrupted removal may have left its names.
        if fstatat(trash, target.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok() {
            continue;
        }
        renameat(folder, name, trash, target.as_c_str())?;
        return Ok(target);
    }
}

fn is_folder(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

/// Opens a folder without following a link.
pub(crate) fn open_folder(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(folder, name, flags, Mode::empty())?)
}
