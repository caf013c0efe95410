//! Processes that outlive the daemon, told apart from later ones with the same number.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process: its number, and when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// Clock ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) started: u64,
}

impl ProcessId {
    /// The process that has this number now, also one that has ended and is not reaped.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Self::look(pid)?.0)
    }

    /// With its state, `Z` for one that has ended.
    fn look(pid: u32) -> io::Result<(Self, char)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything: count fields from the last one.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let started = fields.get(19).and_then(|field| field.parse().ok());
        let state = fields.first().and_then(|field| field.chars().next());
        let (started, state) = started.zip(state).ok_or(io::ErrorKind::InvalidData)?;
        Ok((Self { pid, started }, state))
    }

    /// A hold on the process; none when it has ended.
    pub(crate) fn open(self) -> io::Result<Option<Pidfd>> {
        let pidfd = match Pidfd::open(self.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Read after the descriptor is there: from here on the number cannot pass to another process unseen.
        match Self::look(self.pid) {
            Ok((now, 'Z' | 'X')) if now == self => {
                pidfd.reap();
                Ok(None)
            }
            Ok((now, _)) if now == self => Ok(Some(pidfd)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A hold on one process (pidfd_open(2)).
#[derive(Debug)]
pub(crate) struct Pidfd(OwnedFd);

impl Pidfd {
    pub(crate) fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: pidfd_open(2) takes two integers and gives a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us. It sets close-on-exec itself.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Kills it; no failure when it has ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let (fd, info) = (self.0.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: pidfd_send_signal(2) with a null siginfo acts as kill(2) on the process of the descriptor.
        match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, info, 0) } {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Waits until it has ended, and reaps it if it is a child of ours.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        // SAFETY: the descriptor is ours, and stays open and the same for longer than `ready` lives.
        let ready = unsafe { AsyncFd::register_with_interest(self.0.as_fd(), Interest::READABLE) }?;
        drop(ready.readable().await?);
        self.reap();
        Ok(())
    }

    fn reap(&self) {
        // SAFETY: an all-zero siginfo_t is a valid value of it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG;
        // SAFETY: waitid(2) fills `info`. It fails with ECHILD where the process is a child of another, which
        // is so after a restart of the daemon; then init reaps it.
        unsafe { libc::waitid(libc::P_PIDFD, self.0.as_raw_fd() as libc::id_t, &mut info, flags) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[expect(clippy::zombie_processes, reason = "it is reaped by way of the pidfd")]
    async fn a_child_is_held_killed_and_reaped() {
        let child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        let pidfd = id.open().unwrap().unwrap();
        pidfd.kill().unwrap();
        pidfd.ended().await.unwrap();
        assert!(id.open().unwrap().is_none());
        pidfd.kill().unwrap();
    }

    #[test]
    fn a_later_process_of_the_same_number_is_not_it() {
        let me = ProcessId::of(std::process::id()).unwrap();
        assert!(me.open().unwrap().is_some());
        assert!(ProcessId { started: me.started - 1, ..me }.open().unwrap().is_none());
    }
}
