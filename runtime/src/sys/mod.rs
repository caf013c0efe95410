//! The system calls that neither std nor nix wrap, as thin safe functions.

pub(crate) mod clone;
pub(crate) mod fs;
pub(crate) mod mount;
pub(crate) mod process;

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The result of a raw system call.
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The result of a raw system call that made a descriptor.
///
/// # Safety
/// A result other than -1 must be a new descriptor that nobody else owns.
pub(crate) unsafe fn check_fd(result: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: as the caller promises.
    check(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A path for the kernel; one with a NUL byte in it is refused as the kernel would refuse it.
pub(crate) fn c_path(path: impl AsRef<Path>) -> io::Result<CString> {
    c_bytes(path.as_ref().as_os_str().as_bytes())
}

/// A string for the kernel.
pub(crate) fn c_str(text: &str) -> io::Result<CString> {
    c_bytes(text.as_bytes())
}

fn c_bytes(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
