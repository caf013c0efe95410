//! clone3(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// `CLONE_CLEAR_SIGHAND` of linux/sched.h: handlers of the caller mean nothing in the child.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// `CLONE_INTO_CGROUP` of linux/sched.h.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of linux/sched.h.
#[repr(C)]
#[derive(Default)]
struct Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of the clone returns.
pub(crate) enum Side {
    /// The new process, in a copy of the caller's memory.
    Child,
    /// The caller.
    Parent {
        /// The child in the caller's PID namespace.
        pid: i32,
        /// CLOEXEC.
        pidfd: OwnedFd,
    },
}

/// Makes a child process with its own copy of the memory, in new namespaces (`CLONE_NEW*` in `namespaces`) and, where
/// a cgroup v2 directory is given, in that cgroup. With `sibling` it becomes a child of the caller's parent.
///
/// # Safety
/// The caller must be the only thread of its process: locks held by other threads stay locked in the child for ever.
pub(crate) unsafe fn clone3(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    sibling: bool,
) -> io::Result<Side> {
    let mut pidfd: libc::c_int = -1;
    let mut args = Args {
        flags: namespaces | CLEAR_SIGHAND | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..Args::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    if sibling {
        args.flags |= libc::CLONE_PARENT as u64;
        args.exit_signal = 0;
    }
    // SAFETY: the structure has the kernel's layout and `pidfd` outlives the call; without CLONE_VM and with no stack
    // given the child returns here on a copy of this stack, as with fork.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<Args>()) })?;
    match pid {
        0 => Ok(Side::Child),
        // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
        pid => Ok(Side::Parent { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }),
    }
}
