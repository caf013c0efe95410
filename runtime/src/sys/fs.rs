//! Opening paths that someone else controls: openat2(2), and checks of what was opened.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::check_fd;

/// `RESOLVE_*` of linux/openat2.h.
pub(crate) mod resolve {
    pub(crate) const NO_XDEV: u64 = 0x1;
    pub(crate) const NO_MAGICLINKS: u64 = 0x2;
    pub(crate) const NO_SYMLINKS: u64 = 0x4;
    pub(crate) const BENEATH: u64 = 0x8;
    pub(crate) const IN_ROOT: u64 = 0x10;
}

/// `PROC_SUPER_MAGIC` of linux/magic.h.
pub(crate) const PROC_MAGIC: u64 = 0x9fa0;
/// `DEVPTS_SUPER_MAGIC` of linux/magic.h.
pub(crate) const DEVPTS_MAGIC: u64 = 0x1cd1;
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
pub(crate) const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// `struct open_how` of linux/openat2.h.
#[repr(C)]
struct How {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// openat2(2); always CLOEXEC.
pub(crate) fn openat2(at: BorrowedFd<'_>, path: &CStr, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    let how = How { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve };
    loop {
        // SAFETY: `path` is a C string and `how` has the kernel's layout and the size given; the result is a new
        // descriptor.
        let result = unsafe {
            check_fd(libc::syscall(
                libc::SYS_openat2,
                at.as_raw_fd(),
                path.as_ptr(),
                std::ptr::from_ref(&how),
                size_of::<How>(),
            ))
        };
        // EAGAIN: a rename or mount somewhere on the system raced with a ".." of ours; openat2(2) says to try again.
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            other => return other,
        }
    }
}

/// The type of the file system that `fd` is on.
pub(crate) fn magic(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(nix::sys::statfs::fstatfs(fd)?.filesystem_type().0 as u64)
}

/// A file of procfs, cgroupfs or the like: these tell no size, and reading them in small steps asks the kernel to
/// format them again and again.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    read_from(File::open(path)?)
}

/// Such a file that is open.
pub(crate) fn read_from(file: impl Into<File>) -> io::Result<String> {
    const USUAL: usize = 4096;
    let mut text = String::with_capacity(USUAL);
    file.into().read_to_string(&mut text)?;
    Ok(text)
}

/// fstat(2), also of an O_PATH descriptor.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    Ok(nix::sys::stat::fstat(fd)?)
}

/// Whether `stat` is of the file type `S_IF*`.
pub(crate) fn is_type(stat: &libc::stat, kind: libc::mode_t) -> bool {
    stat.st_mode & libc::S_IFMT == kind
}
