//! The engine on the real shim, runtime, image store and network.
//!
//! Each test runs as root in a process with a network and a mount namespace of its own, with directories, a bridge
//! and a cgroup parent of its own, on an image made of this machine's static busybox; and each ends with the check
//! that nothing is left.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail by panicking, and say why")]

mod crash;
mod exec;
mod image;
mod leaks;
mod lifecycle;
mod limits;
mod restart;
mod world;

use world::in_world;
