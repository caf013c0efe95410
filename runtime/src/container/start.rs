//! `start`: lets the waiting process run its program.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Container, Status};
use crate::Error;
use crate::channel::Failure;
use crate::hooks::{self, Point};
use crate::init::{FIFO, HookState};
use crate::sys::process::pidfd_signal;

impl Container {
    /// Lets a created container run its program. Returns once execve(2) has happened, or with what it was refused for.
    pub fn start(&mut self) -> Result<(), Error> {
        if self.status()? != Status::Created {
            return Err(self.wrong_state("start"));
        }
        let Some(pidfd) = self.pidfd()? else { return Err(self.wrong_state("start")) };
        let path = self.directory.join(FIFO);
        let failed = |error: io::Error| Error::file("open", &path, error);
        let mut fifo = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(&path)
            .map_err(failed)?;
        // The process' open(2) returns now. It keeps its end until execve, or writes why that failed.
        let mut report = Vec::new();
        loop {
            let mut fds =
                [PollFd::new(fifo.as_fd(), PollFlags::POLLIN), PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(failed(error.into())),
                Ok(_) => {}
            }
            let has = |index: usize, flags: PollFlags| {
                fds.get(index).and_then(PollFd::revents).is_some_and(|events| events.intersects(flags))
            };
            let (readable, closed) = (has(0, PollFlags::POLLIN), has(0, PollFlags::POLLHUP));
            let ended = has(1, PollFlags::POLLIN);
            if readable {
                match fifo.read_to_end(&mut report) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => {
                        result.map_err(failed)?;
                    }
                }
            } else if closed {
                break;
            } else if ended {
                return Err(Error::Died { during: "start", status: String::from("it is gone") });
            }
        }
        std::fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
        if !report.is_empty() {
            return Err(Failure::decode(&report).map_err(failed)?.into_error());
        }
        self.run_poststart()
    }

    fn run_poststart(&self) -> Result<(), Error> {
        let config = self.spec()?;
        let hooks = config.hooks().as_ref();
        if Point::Poststart.of(hooks).is_empty() {
            return Ok(());
        }
        let state = HookState { spec: &config, id: self.id(), bundle: self.bundle() };
        hooks::run(hooks, Point::Poststart, &state.json("running", self.pid())).inspect_err(|_| {
            // runtime-spec, "Lifecycle", step 9: the container stops.
            if let Ok(Some(pidfd)) = self.pidfd() {
                let _ = pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
            }
        })
    }
}
