//! The pod's guard, where containers have PID namespaces of their own: a forked child, without an exec, that
//! outlives a killed shim by the moment that it takes to kill the containers. It holds a pidfd of each first
//! process, and the kernel kills the rest of a PID namespace with that.
//!
//! Nothing else does it: a parent-death signal is lost when the container's program is setuid, changes its
//! user, or wants to lose it, and clone(2) refuses PID namespaces below one that the caller is not in.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::PodError;
use crate::frame::{Frame, FrameReader, FrameWriter, Progress};

/// Starts the guard of this process; returns where to send it pidfds.
pub(crate) fn start() -> Result<UnixStream, PodError> {
    let (ours, theirs) =
        UnixStream::pair().map_err(|source| PodError::new("pod guard: make a socket", source))?;
    theirs.set_nonblocking(true).map_err(|source| PodError::new("pod guard: set its socket", source))?;
    let shim = super::pidfd_of_self().map_err(|source| PodError::new("pod guard: open a pidfd", source))?;
    // SAFETY: the process has one thread, so the child may go on in its copy of everything.
    match unsafe { libc::fork() } {
        -1 => Err(PodError::new("pod guard: fork", std::io::Error::last_os_error())),
        0 => {
            // Its end is known by our own copy being the only one left.
            drop(ours);
            watch(&shim, &theirs);
            // SAFETY: ends the process without running what the shim registered to run at its own end.
            unsafe { libc::_exit(0) }
        }
        _ => Ok(ours),
    }
}

/// Puts a process under guard; an error means that the guard is gone.
pub(crate) fn entrust(guard: &UnixStream, pidfd: OwnedFd) -> std::io::Result<()> {
    let mut writer = FrameWriter::default();
    writer.push(Frame { body: Vec::new(), descriptors: vec![pidfd] });
    writer.flush(guard.as_fd()).map_err(std::io::Error::other)
}

/// Holds what it is given until the shim has ended and all that could still send have, too: workers that were
/// in the middle of making a container, and containers that were not started.
fn watch(shim: &OwnedFd, socket: &UnixStream) {
    // SAFETY: PR_SET_NAME reads a string.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"reeve-pod-guard".as_ptr()) };
    crate::worker::close_others(&[shim.as_raw_fd(), socket.as_raw_fd()]);
    // SAFETY: the standard streams belong to whoever started the shim, and the guard says nothing.
    unsafe { libc::syscall(libc::SYS_close_range, 0, 2, 0) };
    let mut reader = FrameReader::default();
    let mut held: Vec<OwnedFd> = Vec::new();
    let mut bereft = false;
    loop {
        let wanted = [socket.as_fd(), shim.as_fd()].into_iter().take(if bereft { 1 } else { 2 });
        let mut polled: Vec<PollFd<'_>> =
            wanted.chain(held.iter().map(AsFd::as_fd)).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        if poll(&mut polled, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let mut ended = ready.iter().skip(if bereft { 1 } else { 2 });
        held.retain(|_| !ended.next().copied().unwrap_or(false));
        bereft |= !bereft && ready[1];
        let over = match reader.read(socket.as_fd()) {
            Ok(Progress::Frame(frame)) => {
                held.extend(frame.descriptors);
                false
            }
            Ok(Progress::Pending) => false,
            Ok(Progress::Closed) | Err(_) => true,
        };
        if bereft || over {
            held.iter().for_each(kill);
        }
        if over {
            return;
        }
    }
}

/// SIGKILL to the process of a pidfd.
pub(crate) fn kill(pidfd: &OwnedFd) {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: pidfd_send_signal(2) without siginfo has no preconditions.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, none, 0) };
}
