//! The CRI services over a socket, on the real engine, shim and runtime.
//!
//! Each test runs as root in a network and mount namespace of its own, with a root directory, bridge and cgroup
//! parent of its own, on an image made of busybox.

#![allow(clippy::unwrap_used)]

mod bench;
mod busybox;
mod container;
mod events;
mod exec;
mod images;
mod leaks;
mod sandbox;
mod stats;
mod status;
mod streaming;

use bench::{Bench, isolated};
