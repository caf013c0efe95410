//! The harness of the end-to-end tests.
//!
//! A [`Lab`] is a network and a mount namespace of its own; everything that a test starts lives in it and
//! dies with it. A [`Node`] is a Reeve daemon in a lab, with its own root, state, bridge and cgroup parent.
//! [`leaks`] looks at what the kernel and the disk hold after a node has been emptied. [`Registry`],
//! [`Cluster`] and [`image`] are the peers: Debian's registry, a real API server, images made of Debian's
//! packages.
//!
//! Tests wait for conditions, with a deadline, never for time to pass ([`wait`]).

pub mod busybox;
pub mod cluster;
pub mod http;
pub mod image;
pub mod lab;
pub mod leaks;
pub mod node;
pub mod registry;
pub mod tools;
pub mod wait;

pub use cluster::Cluster;
pub use lab::Lab;
pub use node::{Node, NodeOptions};
pub use registry::Registry;
pub use wait::{until, until_some};
