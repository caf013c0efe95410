//! The first process of a container, held by a pidfd that is known to be of it.

use std::os::fd::OwnedFd;

use super::{Container, record};
use crate::Error;
use crate::sys::process::pidfd_open;

impl Container {
    /// A pidfd of the first process; none when it has ended.
    pub(super) fn pidfd(&self) -> Result<Option<OwnedFd>, Error> {
        if self.record.pid <= 0 {
            return Ok(None);
        }
        let pidfd = match pidfd_open(self.record.pid) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            result => result.map_err(|error| Error::setup("pidfd_open", error))?,
        };
        // Looked at after the pidfd was opened: the id cannot have changed hands in between.
        Ok((record::start_time(self.record.pid) == Some(self.record.start_time)).then_some(pidfd))
    }
}
