//! `kill`, `pause` and `resume`.

use std::os::fd::AsFd;

use super::{Container, Status};
use crate::Error;
use crate::sys::process::pidfd_signal;

impl Container {
    /// Sends a signal to the first process, or with `all` to every process of the container, also of one whose first
    /// process has ended.
    pub fn kill(&self, signal: i32, all: bool) -> Result<(), Error> {
        if all {
            return self.record.cgroup.signal_all(signal);
        }
        let Some(pidfd) = self.pidfd()? else { return Err(self.wrong_state("kill")) };
        match pidfd_signal(pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(self.wrong_state("kill")),
            result => result.map_err(|error| Error::setup(format!("send signal {signal}"), error))?,
        }
        // On cgroup v1 a frozen process takes no signal, not even this one.
        if signal == libc::SIGKILL && self.record.cgroup.is_frozen()? {
            self.record.cgroup.freeze(false)?;
        }
        Ok(())
    }

    /// Freezes all processes of the container.
    pub fn pause(&self) -> Result<(), Error> {
        match self.status()? {
            Status::Running | Status::Created => self.record.cgroup.freeze(true),
            _ => Err(self.wrong_state("pause")),
        }
    }

    /// Lets a paused container go on.
    pub fn resume(&self) -> Result<(), Error> {
        match self.status()? {
            Status::Paused => self.record.cgroup.freeze(false),
            _ => Err(self.wrong_state("resume")),
        }
    }
}
