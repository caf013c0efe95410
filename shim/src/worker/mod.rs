//! Workers: short-lived forked children that call the runtime library. What the library needs of memory and
//! time, and what it changes of its process (namespaces, working directory), ends with the worker; the loop
//! stays small and answers meanwhile. Processes that a worker starts are the shim's once it has ended,
//! because the shim is a child subreaper (prctl(2)).

mod jobs;
mod outcome;
mod rootfs;
mod watch;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

pub(crate) use jobs::{Jobs, Problem};
pub(crate) use outcome::{Outcome, Part};

use crate::frame::{Frame, FrameReader, FrameWriter, Progress};

/// A worker at work.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: i32,
    socket: UnixStream,
    reader: FrameReader,
}

impl Worker {
    /// Forks a worker that does `job` and keeps, of the shim's descriptors, only `keep` open.
    pub(crate) fn spawn(keep: &[RawFd], job: impl FnOnce() -> Frame) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // SAFETY: the process has one thread, so the child may go on in its copy of everything.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => work(&theirs, keep, job),
            pid => Ok(Worker { pid, socket: ours, reader: FrameReader::default() }),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// What it came to, once it has said so or has gone without a word; None: it is still at work.
    pub(crate) fn outcome(&mut self) -> Option<Outcome> {
        match self.reader.read(self.socket.as_fd()) {
            Ok(Progress::Pending) => None,
            Ok(Progress::Frame(frame)) => Some(Outcome::read(frame)),
            Ok(Progress::Closed) | Err(_) => Some(Outcome::failed("the worker for this request died")),
        }
    }
}

/// The child: an ordinary process again, with default signals, then the job. It finishes that even when the shim
/// is killed meanwhile, so that no container is left half made and out of the guard's sight.
fn work(socket: &UnixStream, keep: &[RawFd], job: impl FnOnce() -> Frame) -> ! {
    // SAFETY: system calls with valid arguments in a process of its own.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
    close_others(&[&[socket.as_raw_fd()], keep].concat());
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut writer = FrameWriter::default();
        writer.push(job());
        writer.flush(socket.as_fd()).is_ok()
    }));
    // SAFETY: ends the process without running what the shim registered to run at its own end.
    unsafe { libc::_exit(if matches!(done, Ok(true)) { 0 } else { 1 }) }
}

/// Closes what belongs to other containers and connections, whose ends must be seen when they end. For a forked
/// child that ends with _exit.
pub(crate) fn close_others(keep: &[RawFd]) {
    let mut kept = keep.to_vec();
    kept.sort_unstable();
    let mut next = 3;
    for fd in kept.into_iter().filter(|fd| *fd >= 3) {
        close_range(next, fd - 1);
        next = fd + 1;
    }
    close_range(next, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    if first <= last {
        // SAFETY: the owners of these descriptors are never used nor dropped in this process, which ends
        // with _exit.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}
