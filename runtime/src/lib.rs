//! An OCI runtime as a library: containers made from bundles by direct system calls.
//!
//! The caller is the parent of what runs: [`Container::create`] and [`Container::exec`] start their process with one
//! `clone3` and no exec of another program on the way, and leave the reaping of it to the caller. The caller must be
//! single-threaded while it calls them, because the child goes on in a copy of the caller's memory.
//!
//! The binary `reeve-runtime` puts runc's command line over the same calls.

mod container;
mod error;
pub mod mount;
mod request;
pub mod seccomp;

pub use container::{Container, Stats, Status};
pub use error::{CommandFault, Error};
pub use request::{CreateRequest, ExecRequest, Started, Stdio};
