//! Making the child process: one clone3, and one more only where a user namespace is joined.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::Error;
use crate::channel::{Channel, Failure, Report};
use crate::namespaces::{Join, Visit};
use crate::sys::clone::{Side, clone3};
use crate::sys::process::{pidfd_signal, setns};

/// How to clone.
pub(crate) struct Launch {
    /// `CLONE_NEW*`.
    pub(crate) namespaces: u64,
    /// Namespaces that whoever clones has to be in.
    pub(crate) visit: Vec<Join>,
    /// A user namespace that whoever clones has to be in. There is no way back from one, so that a helper process
    /// goes there and clones a sibling of its own.
    pub(crate) user: Option<OwnedFd>,
    /// The cgroup v2 directory to be born in.
    pub(crate) cgroup: Option<OwnedFd>,
}

/// A child that is being built.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) channel: Channel,
}

impl Launch {
    /// Starts the child, which runs `body` and then ends; what `body` fails with is reported.
    pub(crate) fn start(
        self,
        body: impl FnOnce(&Channel) -> Result<Infallible, Error>,
    ) -> Result<Child, Error> {
        let (parent, child) = Channel::pair().map_err(|error| Error::setup("socketpair", error))?;
        let near = parent.as_fd().as_raw_fd();
        let body = |channel: &Channel| {
            // The child's copy of the parent's end: with it open the child would never see the parent go.
            nix::unistd::close(near).map_err(|error| Error::setup("close", error))?;
            body(channel)
        };
        let (pid, pidfd) = match &self.user {
            None => self.clone_here(&child, body)?,
            Some(user) => self.clone_beyond(user, &child, body)?,
        };
        Ok(Child { pid, pidfd, channel: parent })
    }

    fn clone_here(
        &self,
        channel: &Channel,
        body: impl FnOnce(&Channel) -> Result<Infallible, Error>,
    ) -> Result<(i32, OwnedFd), Error> {
        let visit = Visit::enter(&self.visit)?;
        let cgroup = self.cgroup.as_ref().map(|fd| fd.as_fd());
        // SAFETY: callers of the library are single-threaded while they create and exec.
        match unsafe { clone3(self.namespaces, cgroup, self.user.is_some()) } {
            Ok(Side::Child) => {
                std::mem::forget(visit);
                end(channel, body)
            }
            Ok(Side::Parent { pid, pidfd }) => Ok((pid, pidfd)),
            Err(error) => Err(Error::setup("clone3", error)),
        }
    }

    fn clone_beyond(
        &self,
        user: &OwnedFd,
        channel: &Channel,
        body: impl FnOnce(&Channel) -> Result<Infallible, Error>,
    ) -> Result<(i32, OwnedFd), Error> {
        let failed = |error| Error::setup("clone3", error);
        let (near, far) = Channel::pair().map_err(|error| Error::setup("socketpair", error))?;
        // SAFETY: as in `clone_here`.
        match unsafe { clone3(0, None, false) }.map_err(failed)? {
            Side::Child => end(&far, |far| {
                setns(user, crate::namespaces::flag::USER)
                    .map_err(|error| Error::setup("join the user namespace", error))?;
                let (pid, pidfd) = self.clone_here(channel, body)?;
                let told =
                    far.report(&Report::Listener(pid)).and_then(|()| far.report(&Report::Terminal(pidfd)));
                told.map_err(|error| Error::setup("report the process", error))?;
                // SAFETY: ends this process at once; nothing of the caller's is to be run down here.
                unsafe { libc::_exit(0) }
            }),
            Side::Parent { pid: helper, .. } => {
                drop(far);
                let first = near.next();
                let second = near.next();
                // It ends by itself after its report; nobody else knows of it.
                let _ = waitpid(Pid::from_raw(helper), None);
                match (first, second) {
                    (Ok(Some(Report::Listener(pid))), Ok(Some(Report::Terminal(pidfd)))) => Ok((pid, pidfd)),
                    (Ok(Some(Report::Failed(failure))), _) => Err(failure.into_error()),
                    _ => Err(Error::Died { during: "clone", status: String::from("no report") }),
                }
            }
        }
    }
}

/// Runs the child's part and ends the process, whatever happens in it.
fn end(channel: &Channel, body: impl FnOnce(&Channel) -> Result<Infallible, Error>) -> ! {
    // Unwinding further would go on in the caller's code, in a second process.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(channel)));
    if let Ok(Err(error)) = outcome {
        // A parent that has gone needs no report.
        let _ = channel.report(&Report::Failed(Failure::of(error)));
    }
    // SAFETY: ends this process without running the caller's exit handlers a second time.
    unsafe { libc::_exit(1) }
}

impl Child {
    /// The next report; a failure and the end of the child become errors.
    pub(crate) fn next(&self, during: &'static str) -> Result<Report, Error> {
        match self.channel.next().map_err(|error| Error::setup("read the process' report", error))? {
            Some(Report::Failed(failure)) => Err(failure.into_error()),
            Some(report) => Ok(report),
            None => Err(Error::Died { during, status: self.ending() }),
        }
    }

    /// Lets the child go on.
    pub(crate) fn answer(&self) -> Result<(), Error> {
        self.channel.answer().map_err(|error| Error::setup("answer the process", error))
    }

    /// How the child ended, without reaping it.
    fn ending(&self) -> String {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => format!("exit status {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("killed by {signal}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.desc().to_lowercase(),
        }
    }

    /// Kills and reaps a child that nobody else has been told of.
    pub(crate) fn abandon(&self) {
        // It may have ended already.
        let _ = pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED);
    }

    /// A copy of the child's descriptor `number`, pidfd_getfd(2).
    pub(crate) fn descriptor(&self, number: i32) -> Result<OwnedFd, Error> {
        // SAFETY: no pointers; the result is a new descriptor.
        unsafe {
            crate::sys::check(libc::syscall(libc::SYS_pidfd_getfd, self.pidfd.as_raw_fd(), number, 0))
                .map(|fd| OwnedFd::from_raw_fd(fd as i32))
        }
        .map_err(|error| Error::setup("pidfd_getfd of the seccomp listener", error))
    }
}
