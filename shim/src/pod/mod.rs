//! What the shim is to its pod before any container: keeper of its namespaces, and parent of a process that
//! ends the containers when the shim is killed: an init where they share one PID namespace, else a guard.

pub(crate) mod guard;
mod init;
mod namespaces;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

pub(crate) use init::start_init;
pub(crate) use namespaces::enter;

/// A step of the pod's set-up that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct PodError {
    step: String,
    source: std::io::Error,
}

impl PodError {
    pub(crate) fn new(step: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        PodError { step: step.into(), source: source.into() }
    }
}

/// A pidfd of this process.
fn pidfd_of_self() -> std::io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) has no preconditions.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    if result < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}
