//! Loads a program into the kernel.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use super::{Instruction, Program};

/// `SECCOMP_SET_MODE_FILTER` of linux/seccomp.h.
const SET_MODE_FILTER: libc::c_ulong = 1;

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct FilterProgram {
    length: u16,
    filter: *const Instruction,
}

impl Program {
    /// Puts the calling thread under the filter; there is no way back. Needs CAP_SYS_ADMIN in the user
    /// namespace or no_new_privs. Allocates nothing.
    ///
    /// Returns the listener's descriptor where [`Program::notifies`].
    ///
    /// # Errors
    /// Those of seccomp(2).
    pub fn install(&self) -> io::Result<Option<OwnedFd>> {
        let program = FilterProgram { length: self.filter.len() as u16, filter: self.filter.as_ptr() };
        // SAFETY: `program` and the instructions it points to outlive the call, the length is theirs
        // (`compile` keeps it under BPF_MAXINSNS), and `Instruction` has the layout of sock_filter.
        let result = unsafe {
            libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, self.flags, std::ptr::from_ref(&program))
        };
        match result {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: with NEW_LISTENER the call returned a new descriptor that nobody else owns.
            fd if self.notifies() => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) })),
            // TSYNC reports the thread that could not follow.
            0 => Ok(None),
            thread => Err(io::Error::other(format!("thread {thread} could not be put under the filter"))),
        }
    }
}
