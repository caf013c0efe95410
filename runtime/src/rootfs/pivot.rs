//! Moving into the new root.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::mount::{MntFlags, MsFlags, umount2};

use crate::Error;
use crate::sys::check;

/// pivot_root(2) with the old root stacked under the new one, which is then detached: no directory is needed for it.
pub(super) fn pivot(root: &OwnedFd) -> Result<(), Error> {
    enter(root)?;
    let here = c".".as_ptr();
    // SAFETY: both paths are C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })
        .map_err(|error| Error::setup("pivot_root", error))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|error| Error::setup("unmount the old root", error))?;
    nix::unistd::chdir("/").map_err(|error| Error::setup("chdir to the new root", error))
}

/// `MS_MOVE` and chroot(2), for hosts whose root is the initial ramdisk, which cannot be pivoted away. What would
/// still show of the host's kernel file systems beneath is taken out of the namespace first.
pub(super) fn move_root(root: &OwnedFd) -> Result<(), Error> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|error| Error::file("read", "/proc/self/mountinfo", error))?;
    let own = nix::fcntl::readlink(format!("/proc/self/fd/{}", root.as_raw_fd()).as_str())
        .map_err(|error| Error::setup("find the new root's path", error))?;
    let own = own.to_string_lossy();
    for (mount, kind) in table.lines().filter_map(fields) {
        if ["proc", "sysfs"].contains(&kind) && !format!("{mount}/").starts_with(&format!("{own}/")) {
            cover(mount)?;
        }
    }
    enter(root)?;
    let none: Option<&str> = None;
    nix::mount::mount(Some("."), "/", none, MsFlags::MS_MOVE, none)
        .map_err(|error| Error::setup("move the new root to /", error))?;
    nix::unistd::chroot(".").map_err(|error| Error::setup("chroot", error))?;
    nix::unistd::chdir("/").map_err(|error| Error::setup("chdir to the new root", error))
}

fn cover(mount: &str) -> Result<(), Error> {
    let none: Option<&str> = None;
    match umount2(mount, MntFlags::MNT_DETACH) {
        Ok(()) => Ok(()),
        // Locked in a user namespace: an empty file system hides it.
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::EPERM) => {
            nix::mount::mount(none, mount, Some("tmpfs"), MsFlags::empty(), none)
                .map_err(|error| Error::setup(format!("cover {mount}"), error))
        }
        Err(error) => Err(Error::setup(format!("unmount {mount}"), error)),
    }
}

/// Mount point and type of a line of mountinfo.
fn fields(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    Some((left.split(' ').nth(4)?, right.split(' ').next()?))
}

fn enter(root: &OwnedFd) -> Result<(), Error> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_fchdir, root.as_fd().as_raw_fd()) })
        .map_err(|error| Error::setup("enter the new root", error))?;
    Ok(())
}
