//! Processes and talking with them: identity, pipes, terminals, bounded output.

mod identity;
pub(crate) mod output;
pub(crate) mod pty;

pub(crate) use identity::{Pidfd, ProcessId};
