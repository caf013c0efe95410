//! The pod's init, where the pod shares PIDs: a forked child, without an exec, that is process 1 of the PID
//! namespace that the containers join. The kernel kills them all when it ends, and it ends with the shim.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::PodError;

/// Forks it, and returns its id in the host's PID namespace.
pub(crate) fn start_init() -> Result<i32, PodError> {
    let parent = super::pidfd_of_self().map_err(|source| PodError::new("pod init: open a pidfd", source))?;
    let (ready, answer) = nix::unistd::pipe().map_err(|errno| PodError::new("pod init: pipe", errno))?;
    // SAFETY: like fork(2), as no stack is given. The child makes system calls only.
    let pid = unsafe {
        let flags = libc::CLONE_NEWPID | libc::SIGCHLD;
        libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)
    };
    match pid {
        ..0 => return Err(PodError::new("pod init: clone", io::Error::last_os_error())),
        0 => be_init(parent.as_raw_fd(), answer.as_raw_fd()),
        _ => drop(answer),
    }
    let mut errno = [0; 4];
    match nix::unistd::read(ready.as_fd(), &mut errno) {
        Ok(4) if i32::from_le_bytes(errno) == 0 => {}
        Ok(4) => {
            let source = io::Error::from_raw_os_error(i32::from_le_bytes(errno));
            return Err(PodError::new("pod init: leave the host's file system", source));
        }
        Ok(_) => return Err(PodError::new("pod init", io::Error::other("ended at its start"))),
        Err(errno) => return Err(PodError::new("pod init: read its answer", errno)),
    }
    Ok(pid as i32)
}

/// The life of the init. System calls only: it is the copy of a process that goes on using its memory.
fn be_init(parent: RawFd, answer: RawFd) -> ! {
    // SAFETY: plain system calls with valid arguments, in a process of its own; it never returns into the
    // copied stack.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let mut gone = libc::pollfd { fd: parent, events: libc::POLLIN, revents: 0 };
        if libc::poll(&mut gone, 1, 0) != 0 {
            libc::_exit(1); // the parent died before the line above
        }
        let mut signals: libc::sigset_t = std::mem::zeroed();
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGCHLD] {
            libc::sigaddset(&mut signals, signal);
        }
        // Blocked signals are kept even for an init, which is spared those that it has no handler for.
        libc::sigprocmask(libc::SIG_SETMASK, &signals, std::ptr::null_mut());
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"reeve-pod-init".as_ptr());
        let errno = leave_host().err().unwrap_or(0);
        libc::write(answer, errno.to_le_bytes().as_ptr().cast(), 4);
        if errno != 0 {
            libc::_exit(1);
        }
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        loop {
            let signal = libc::sigwaitinfo(&signals, std::ptr::null_mut());
            if signal == libc::SIGTERM || signal == libc::SIGINT {
                libc::_exit(0);
            }
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
        }
    }
}

/// Trades the host's file system for an empty read-only one and drops every capability, for
/// `/proc/1/root` leads there for containers that may trace.
///
/// # Safety
/// To be called in a process of its own, after a fork.
unsafe fn leave_host() -> Result<(), i32> {
    let check = |result: libc::c_long| {
        if result < 0 { Err(nix::errno::Errno::last_raw()) } else { Ok(()) }
    };
    let (root, dot, tmpfs, proc) = (c"/".as_ptr(), c".".as_ptr(), c"tmpfs".as_ptr(), c"/proc".as_ptr());
    let none = std::ptr::null();
    // Version 3 of the interface: two 32-bit words for each set (capget(2)).
    let header = [0x2008_0522u32, 0];
    let sets = [0u32; 6];
    // SAFETY: system calls with valid strings; the capset arguments have the layout of version 3.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS).into())?;
        check(libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()).into())?;
        let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        // Over /proc because it is always there; nothing sees it but this mount namespace.
        check(
            libc::mount(tmpfs, proc, tmpfs, flags, c"size=4k,nr_inodes=1,mode=555".as_ptr().cast()).into(),
        )?;
        check(libc::chdir(proc).into())?;
        check(libc::syscall(libc::SYS_pivot_root, dot, dot))?;
        check(libc::umount2(dot, libc::MNT_DETACH).into())?;
        check(libc::chdir(root).into())?;
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()))?;
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0).into())
    }
}
