//! A terminal in the container's own devpts.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::resolve;
use crate::Error;
use crate::sys::fs::{DEVPTS_MAGIC, is_type, magic, openat2, resolve as rule, stat};
use crate::sys::mount::{attach, clone_tree};
use crate::sys::{check, check_fd};

/// `TIOCGPTPEER` of asm-generic/ioctls.h: the slave by its master, without a path.
const TIOCGPTPEER: libc::c_ulong = 0x5441;
/// `UNIX98_PTY_SLAVE_MAJOR` and the seven majors after it, linux/major.h.
const PTY_MAJORS: std::ops::Range<u32> = 136..144;

/// Makes a terminal below `root` (the container's, or `/` once inside). Gives master and slave.
pub(crate) fn open_terminal(
    root: BorrowedFd<'_>,
    size: Option<(u16, u16)>,
) -> Result<(OwnedFd, OwnedFd), Error> {
    make(root, size).map_err(|error| Error::setup("make a terminal in the container's /dev/pts", error))
}

fn make(root: BorrowedFd<'_>, size: Option<(u16, u16)>) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY;
    let master =
        openat2(root, c"dev/pts/ptmx", flags, rule::IN_ROOT | rule::NO_SYMLINKS | rule::NO_MAGICLINKS)?;
    if magic(master.as_fd())? != DEVPTS_MAGIC {
        return Err(io::Error::other("/dev/pts is no devpts"));
    }
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK takes a pointer to an integer.
    check(unsafe {
        libc::syscall(libc::SYS_ioctl, master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock)
    })?;
    // SAFETY: TIOCGPTPEER takes flags and makes a new descriptor.
    let slave = unsafe {
        check_fd(libc::syscall(libc::SYS_ioctl, master.as_raw_fd(), TIOCGPTPEER, flags | libc::O_CLOEXEC))
    }?;
    let node = stat(slave.as_fd())?;
    if !is_type(&node, libc::S_IFCHR) || !PTY_MAJORS.contains(&libc::major(node.st_rdev)) {
        return Err(io::Error::other("the terminal's slave is no terminal"));
    }
    if let Some((rows, columns)) = size {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ takes a pointer to a winsize.
        check(unsafe {
            libc::syscall(libc::SYS_ioctl, master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size)
        })?;
    }
    Ok((master, slave))
}

/// Binds the terminal to /dev/console, by its descriptor.
pub(crate) fn bind_console(root: &OwnedFd, slave: &OwnedFd) -> Result<(), Error> {
    let bind = || -> io::Result<()> {
        let (dev, name) = resolve::ensure_parent(root.as_fd(), Path::new("/dev/console"))?;
        let target = match openat2(dev.as_fd(), &name, libc::O_PATH | libc::O_NOFOLLOW, rule::BENEATH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                resolve::ensure(dev.as_fd(), Path::new("console"), resolve::Want::File)?
            }
            other => other?,
        };
        if is_type(&stat(target.as_fd())?, libc::S_IFLNK) {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        attach(clone_tree(slave.as_fd(), c"", false)?.as_fd(), target.as_fd())
    };
    bind().map_err(|error| Error::setup("bind the terminal to /dev/console", error))
}
