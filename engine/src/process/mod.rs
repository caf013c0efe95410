//! Talking with processes that run in containers: pipes, terminals, bounded output.

pub(crate) mod pty;
