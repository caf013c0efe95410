//! The mount calls that work on descriptors: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2),
//! mount_setattr(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::{c_path, c_str, check, check_fd};

/// `AT_RECURSIVE` of linux/fcntl.h.
const AT_RECURSIVE: libc::c_int = 0x8000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// `MOUNT_ATTR_*` of linux/mount.h.
pub(crate) mod attr {
    pub(crate) const RDONLY: u64 = 0x1;
    pub(crate) const NOSUID: u64 = 0x2;
    pub(crate) const NODEV: u64 = 0x4;
    pub(crate) const NOEXEC: u64 = 0x8;
    /// The field of the access time modes, of which relatime is 0.
    pub(crate) const ATIME: u64 = 0x70;
    pub(crate) const NOATIME: u64 = 0x10;
    pub(crate) const STRICTATIME: u64 = 0x20;
    pub(crate) const NODIRATIME: u64 = 0x80;
    pub(crate) const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// `struct mount_attr` of linux/mount.h.
#[repr(C)]
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// Opens `path` below `at` as a mount tree of its own that is attached nowhere.
pub(crate) fn clone_tree(at: BorrowedFd<'_>, path: &CStr, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= AT_RECURSIVE as libc::c_uint;
    }
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH as libc::c_uint;
    }
    // SAFETY: `path` is a C string; the result is a new descriptor.
    unsafe { check_fd(libc::syscall(libc::SYS_open_tree, at.as_raw_fd(), path.as_ptr(), flags)) }
}

/// [`clone_tree`] of an absolute path.
pub(crate) fn clone_path(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    clone_tree(nix::fcntl::AT_FDCWD, &c_path(path)?, recursive)
}

/// Attaches the mount `tree` over the file or directory that `target` holds.
pub(crate) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both paths are C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// Changes the attributes of the mount that `tree` holds, and of those below it when `recursive`.
pub(crate) fn set_attributes(
    tree: BorrowedFd<'_>,
    attributes: &Attributes,
    recursive: bool,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the structure has the kernel's layout and the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    })?;
    Ok(())
}

/// A file system being configured, fsopen(2).
pub(crate) struct Context {
    fd: OwnedFd,
}

impl Context {
    pub(crate) fn open(kind: &str) -> io::Result<Context> {
        let kind = c_str(kind)?;
        // SAFETY: `kind` is a C string; the result is a new descriptor.
        let fd = unsafe { check_fd(libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC)) }?;
        Ok(Context { fd })
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let (key, value) = (c_str(key)?, c_str(value)?);
        self.config(FSCONFIG_SET_STRING, Some(&key), Some(&value))
    }

    pub(crate) fn flag(&self, key: &str) -> io::Result<()> {
        let key = c_str(key)?;
        self.config(FSCONFIG_SET_FLAG, Some(&key), None)
    }

    /// Makes the file system and a detached mount of it with the attributes `attr::*`.
    pub(crate) fn mount(&self, attributes: u64) -> io::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: no pointers; the result is a new descriptor.
        unsafe {
            check_fd(libc::syscall(
                libc::SYS_fsmount,
                self.fd.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attributes as libc::c_uint,
            ))
        }
    }

    fn config(&self, command: libc::c_uint, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: both pointers are null or C strings that outlive the call.
        check(unsafe {
            libc::syscall(libc::SYS_fsconfig, self.fd.as_raw_fd(), command, pointer(key), pointer(value), 0)
        })
        .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// The kernel's own words about the failure, when it left any in the context's log.
    fn explain(&self, error: io::Error) -> io::Error {
        let mut line = [0u8; 256];
        let Ok(length) = nix::unistd::read(self.fd.as_fd(), &mut line) else { return error };
        let text = String::from_utf8_lossy(&line[..length]);
        let text = text.trim_end().trim_start_matches("e ");
        if text.is_empty() { error } else { io::Error::new(error.kind(), format!("{error}: {text}")) }
    }
}
