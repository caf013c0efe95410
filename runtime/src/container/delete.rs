//! `delete`: frees what a container holds.

use std::io;
use std::os::fd::AsFd;

use nix::poll::PollTimeout;

use super::{Container, Status};
use crate::Error;
use crate::hooks::{self, Point};
use crate::init::HookState;
use crate::sys::process::{pidfd_signal, wait_exit};

/// How long a killed first process may take to end.
const PATIENCE_MS: u16 = 10_000;

impl Container {
    /// Removes the cgroup and the state of a stopped or merely created container; with `force` kills it first. Goes on
    /// past what is missing already, so that a half-made container can be deleted.
    pub fn delete(self, force: bool) -> Result<(), Error> {
        match self.status()? {
            Status::Stopped | Status::Created | Status::Creating => {}
            _ if force => {}
            _ => return Err(self.wrong_state("delete")),
        }
        if let Some(pidfd) = self.pidfd()? {
            pidfd_signal(pidfd.as_fd(), libc::SIGKILL)
                .map_err(|error| Error::setup("kill the container", error))?;
            if self.record.cgroup.is_frozen()? {
                self.record.cgroup.freeze(false)?;
            }
            let ended = wait_exit(pidfd.as_fd(), PollTimeout::from(PATIENCE_MS));
            if !ended.map_err(|error| Error::setup("wait for the container", error))? {
                return Err(self.wrong_state("delete"));
            }
        }
        self.record.cgroup.remove()?;
        // Half-made containers may have no configuration yet; then there are no hooks to run.
        let config = self.spec();
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("remove", &self.directory, error));
            }
            _ => {}
        }
        let Ok(config) = config else { return Ok(()) };
        let state = HookState { spec: &config, id: self.id(), bundle: self.bundle() };
        hooks::run(config.hooks().as_ref(), Point::Poststop, &state.json("stopped", 0))
    }
}
