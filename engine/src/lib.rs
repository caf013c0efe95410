//! Sandboxes, containers, images and networks of one node behind one typed API; the only owner of the node's
//! state on disk.
//!
//! An [`Engine`] is opened on a root directory, which it locks. Callers describe what they want
//! ([`SandboxSpec`], [`ContainerSpec`]) and get ids; what is so they read as values ([`Sandbox`],
//! [`Container`]) from memory, without a system call; what changes they hear from [`Engine::subscribe`].

mod cgroup;
mod config;
mod engine;
mod error;
pub mod failpoint;
mod process;
mod shim;
mod spec;
mod store;
mod types;
mod user;

pub use config::Config;
pub use engine::{Engine, EngineStatus};
pub use error::{Error, Result};
pub use reeve_image as image;
pub use reeve_network::{PortMapping, Protocol};
pub use shim::ShimError;
pub use store::StoreError;
pub use types::*;
