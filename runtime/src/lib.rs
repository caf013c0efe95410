//! An OCI runtime as a library: containers made from bundles by direct system calls.
//!
//! The caller is the parent of what runs: [`Container::create`] and [`Container::exec`] start their process with one
//! `clone3` and no exec of another program on the way, and leave the reaping of it to the caller. The caller must be
//! single-threaded while it calls them, because the child goes on in a copy of the caller's memory.
//!
//! How a container comes to be: the parent checks the configuration (`spec`), prepares the process (`process`), opens
//! whatever has a path on the host (`rootfs`), makes the cgroup (`cgroup`) and clones (`launch`). The child (`init`)
//! builds the root in its namespaces, moves in and waits for `start`; the two talk over a socket (`channel`). Before
//! that the parent asks the kernel whether the child is as confined as it should be (`verify`).
//!
//! The binary `reeve-runtime` puts runc's command line over the same calls.

mod cgroup;
mod channel;
mod container;
mod error;
mod hooks;
mod init;
mod launch;
pub mod mount;
mod namespaces;
mod process;
mod request;
mod rootfs;
pub mod seccomp;
mod spec;
mod sys;
mod sysctl;
mod time;
mod verify;

pub use container::{Container, Stats, Status};
pub use error::{CommandFault, Error};
pub use request::{CreateRequest, ExecRequest, Started, Stdio};
pub use spec::{default_spec, read as read_spec};
pub use time::rfc3339;
