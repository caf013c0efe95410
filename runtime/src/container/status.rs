//! Where a container is in its life, asked of the kernel.

use std::fmt;

use oci_spec::runtime::{ContainerState, State, StateBuilder};

use super::Container;
use super::record::start_time;
use crate::Error;
use crate::init::FIFO;

/// Where a container is in its life, after the runtime specification's "State" with runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; the program waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

impl Container {
    /// Where it is in its life, asked of the kernel now.
    pub fn status(&self) -> Result<Status, Error> {
        let record = &self.record;
        if !self.is_alive() {
            return Ok(Status::Stopped);
        }
        if !record.complete {
            return Ok(Status::Creating);
        }
        if record.cgroup.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if self.directory.join(FIFO).exists() { Status::Created } else { Status::Running })
    }

    /// Whether the first process is there: the same one, and no zombie.
    pub(super) fn is_alive(&self) -> bool {
        self.record.pid > 0 && start_time(self.record.pid) == Some(self.record.start_time)
    }

    /// The state as the runtime specification has it; a paused container is `running` there.
    pub fn state(&self) -> Result<State, Error> {
        let status = match self.status()? {
            Status::Creating => ContainerState::Creating,
            Status::Created => ContainerState::Created,
            Status::Running | Status::Paused => ContainerState::Running,
            Status::Stopped => ContainerState::Stopped,
        };
        let mut state = StateBuilder::default()
            .version(self.record.oci_version.clone())
            .id(self.record.id.clone())
            .status(status)
            .bundle(self.record.bundle.clone())
            .annotations(self.record.annotations.clone());
        if status != ContainerState::Stopped {
            state = state.pid(self.record.pid);
        }
        state.build().map_err(|error| Error::config("state", error.to_string()))
    }
}
