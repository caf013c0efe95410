//! Waiting for a process in the foreground: its signals, its terminal, its end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use reeve_runtime::{Error, Started};

/// Signals are held back from before the process is made, so that none is lost on the way to it.
pub(crate) struct Session {
    signals: SignalFd,
}

impl Session {
    pub(crate) fn begin() -> Result<Session, Error> {
        let mut all = SigSet::all();
        // These are about ourselves.
        for own in [
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGABRT,
            Signal::SIGTRAP,
        ] {
            all.remove(own);
        }
        all.thread_block().map_err(failed)?;
        let signals =
            SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        Ok(Session { signals })
    }

    /// Waits for the process and gives its exit code, 128 and the signal where one ended it.
    pub(crate) fn wait(self, started: Started) -> Result<u8, Error> {
        let terminal =
            started.terminal.map(Terminal::attach).transpose().map_err(|error| step("terminal", error))?;
        let mut terminal = terminal;
        let mut typing = terminal.is_some();
        loop {
            let mut fds = vec![
                PollFd::new(started.pidfd.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            let stdin = io::stdin();
            if let Some(terminal) = &terminal {
                fds.push(PollFd::new(terminal.master.as_fd(), PollFlags::POLLIN));
                if typing {
                    fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
                }
            }
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(failed(error)),
                Ok(_) => {}
            }
            let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
            let (ended, signalled, output, input) = (ready(0), ready(1), ready(2), ready(3));
            if signalled {
                self.forward(&started.pidfd, terminal.as_ref())?;
            }
            let mut hung_up = false;
            if let Some(terminal) = &terminal {
                hung_up = output && !copy(terminal.master.as_fd(), io::stdout().as_fd());
                if typing && input {
                    typing = copy(stdin.as_fd(), terminal.master.as_fd());
                }
            }
            if ended && (terminal.is_none() || !output || hung_up) {
                drop(terminal);
                return reap(&started.pidfd);
            }
            if hung_up {
                terminal = None;
            }
        }
    }

    fn forward(&self, pidfd: &OwnedFd, terminal: Option<&Terminal>) -> Result<(), Error> {
        while let Some(received) = self.signals.read_signal().map_err(failed)? {
            let number = received.ssi_signo as i32;
            match number {
                libc::SIGCHLD | libc::SIGURG | libc::SIGPIPE => {}
                libc::SIGWINCH => {
                    terminal.map_or(Ok(()), Terminal::resize).map_err(|error| step("resize", error))?
                }
                // The process may end before the signal gets there.
                _ => {
                    // SAFETY: the null pointer stands for no siginfo.
                    unsafe {
                        libc::syscall(
                            libc::SYS_pidfd_send_signal,
                            std::os::fd::AsRawFd::as_raw_fd(pidfd),
                            number,
                            std::ptr::null::<libc::siginfo_t>(),
                            0,
                        )
                    };
                }
            }
        }
        Ok(())
    }
}

fn reap(pidfd: &OwnedFd) -> Result<u8, Error> {
    match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED).map_err(failed)? {
        WaitStatus::Exited(_, code) => Ok(code as u8),
        WaitStatus::Signaled(_, signal, _) => Ok(128 + signal as u8),
        _ => Ok(255),
    }
}

/// The container's terminal beside our own.
struct Terminal {
    master: OwnedFd,
    /// How ours was before.
    before: Option<Termios>,
}

impl Terminal {
    fn attach(master: OwnedFd) -> io::Result<Terminal> {
        let stdin = io::stdin();
        // Not every stdin is a terminal.
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            tcsetattr(&stdin, SetArg::TCSANOW, &raw)?;
        }
        let terminal = Terminal { master, before };
        terminal.resize()?;
        Ok(terminal)
    }

    /// Gives it the size of ours.
    fn resize(&self) -> io::Result<()> {
        if self.before.is_none() {
            return Ok(());
        }
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: both calls take a pointer to a winsize, which outlives them.
        let result = unsafe {
            if libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) == 0 {
                libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&self.master), libc::TIOCSWINSZ, &raw const size)
            } else {
                0
            }
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // At the end there is nobody to tell.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// Copies what is there; false when one side is at its end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0u8; 4096];
    let Ok(length @ 1..) = nix::unistd::read(from, &mut buffer) else { return false };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match nix::unistd::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}

fn failed(error: nix::errno::Errno) -> Error {
    step("wait for the process", error.into())
}

fn step(what: &str, source: io::Error) -> Error {
    Error::Setup { step: what.to_owned(), source }
}
