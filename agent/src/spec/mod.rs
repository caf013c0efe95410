//! From a pod's spec to what CRI is asked for.

mod container;
mod env;
mod expand;
mod hosts;
mod resources;
mod sandbox;
mod security;

pub(crate) use container::{ContainerInput, container_config};
pub(crate) use expand::expand;
pub(crate) use hosts::etc_hosts;
pub(crate) use resources::{cgroup_parent, qos_class};
pub(crate) use sandbox::{SandboxInput, hostname, sandbox_config};
pub(crate) use security::{ImageUser, runs_as_root};

/// Why a spec cannot be turned into a configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// A variable refers to something that this node has not got.
    #[error("environment variable {name:?}: {why}")]
    Env { name: String, why: String },
}
