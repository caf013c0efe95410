//! Calls about processes: pidfds, namespaces, descriptors, privileges.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{check, check_fd};

/// pidfd_open(2).
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the result is a new descriptor.
    unsafe { check_fd(libc::syscall(libc::SYS_pidfd_open, pid, 0)) }
}

/// pidfd_send_signal(2).
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the null pointer stands for no siginfo.
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })?;
    Ok(())
}

/// Waits until the process has ended (it may be a zombie then); false when the time is up.
pub(crate) fn wait_exit(pidfd: BorrowedFd<'_>, timeout: PollTimeout) -> io::Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, timeout) {
            Ok(ready) => return Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// setns(2) with a namespace's descriptor or a pidfd.
pub(crate) fn setns(fd: impl AsFd, namespaces: u64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setns, fd.as_fd().as_raw_fd(), namespaces as libc::c_int) })?;
    Ok(())
}

/// unshare(2).
pub(crate) fn unshare(namespaces: u64) -> io::Result<()> {
    // SAFETY: no pointers, and no CLONE_VM or CLONE_FILES among the namespaces' flags.
    check(unsafe { libc::syscall(libc::SYS_unshare, namespaces as libc::c_int) })?;
    Ok(())
}

/// Sets CLOEXEC on every descriptor from `first` on.
pub(crate) fn cloexec_from(first: u32) -> io::Result<()> {
    /// `CLOSE_RANGE_CLOEXEC` of linux/close_range.h.
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: no pointers; nothing is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) })?;
    Ok(())
}

/// prctl(2) with integer arguments.
pub(crate) fn prctl(
    option: libc::c_int,
    argument: libc::c_ulong,
    second: libc::c_ulong,
) -> io::Result<libc::c_long> {
    // SAFETY: the options used here take integers, and the unused arguments are zero as prctl(2) demands.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, argument, second, 0, 0) })
}

/// setgroups(2) with exactly these groups.
pub(crate) fn setgroups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

/// setresgid(2) of all three ids.
pub(crate) fn setgid(gid: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    Ok(())
}

/// setresuid(2) of all three ids.
pub(crate) fn setuid(uid: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Gives every signal its default action and unblocks all: what the caller ignores or blocks for itself is no
/// business of the container's.
pub(crate) fn reset_signals() -> io::Result<()> {
    /// `_NSIG` of asm/signal.h.
    const SIGNALS: i32 = 64;
    /// SIG_DFL, no flags, no restorer, an empty mask: all of `struct sigaction` is zero.
    const DEFAULT: [u64; 8] = [0; 8];
    for signal in 1..=SIGNALS {
        // By the system call, because libc would not touch the two that it uses itself. The kernel refuses KILL and STOP.
        // SAFETY: the structure is larger than the kernel's on every architecture; null asks for no old one.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    Ok(())
}
