//! API

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::types::*;

/// The node's sandboxes, containers, images and networks. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<()>,
}

/// How the engine is.
#[derive(Clone, Debug)]
pub struct EngineStatus {
    /// Whether pods can have a network, or why not.
    pub network: Result<(), String>,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: &'static str,
}

macro_rules! soon {
    () => {
        Err(Error::NotFound {
            kind: "engine",
            id: String::new(),
        })
    };
}

impl Engine {
    /// Opens the engine on its directories: locks them, reads what was, finds the shims, finishes or undoes what was under way.
    pub async fn open(config: Config) -> Result<Engine> {
        soon!()
    }
    /// The images of this node.
    pub fn images(&self) -> &reeve_image::Images {
        todo!()
    }
    /// Ids of images that containers use: these must not be collected.
    pub fn images_in_use(&self) -> std::collections::HashSet<String> {
        Default::default()
    }
    /// Makes a sandbox and gives its id.
    pub async fn run_sandbox(&self, spec: SandboxSpec) -> Result<String> {
        soon!()
    }
    /// Ends a sandbox: kills its containers, frees its network. Doing it again is no error, nor is an unknown id.
    pub async fn stop_sandbox(&self, id: &str) -> Result<()> {
        soon!()
    }
    /// Removes a sandbox with its containers. Doing it again is no error, nor is an unknown id.
    pub async fn remove_sandbox(&self, id: &str) -> Result<()> {
        soon!()
    }
    /// The sandbox of this id, or of the only id that begins so.
    pub fn sandbox(&self, id_or_prefix: &str) -> Result<Sandbox> {
        soon!()
    }
    /// All sandboxes, the oldest first.
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        Vec::new()
    }
    /// Counters of a sandbox's network interfaces; none on the host's network.
    pub async fn sandbox_network_stats(&self, id: &str) -> Result<Vec<InterfaceStats>> {
        soon!()
    }
    /// Path of the sandbox's network namespace, to enter it; none on the host's network.
    pub fn sandbox_netns(&self, id: &str) -> Result<Option<std::path::PathBuf>> {
        soon!()
    }
    /// Makes a container (no process yet) and gives its id.
    pub async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<String> {
        soon!()
    }
    /// Starts a container's program. On failure it is exited, with reason `StartError` and code 128.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        soon!()
    }
    /// Asks a container to end, kills it after `grace`, and returns when it has ended.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        soon!()
    }
    /// Removes a container, killing it first when it runs. Doing it again is no error, nor is an unknown id.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        soon!()
    }
    /// The container of this id, or of the only id that begins so.
    pub fn container(&self, id_or_prefix: &str) -> Result<Container> {
        soon!()
    }
    /// All containers, the oldest first.
    pub fn containers(&self) -> Vec<Container> {
        Vec::new()
    }
    /// Changes limits of a created or running container; absent ones stay.
    pub async fn update_container(&self, id: &str, resources: Resources) -> Result<()> {
        soon!()
    }
    /// Runs a command in a running container to its end; at the time-out it is killed.
    pub async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput> {
        soon!()
    }
    /// Starts a command in a running container, connected to the caller.
    pub async fn exec(&self, id: &str, spec: ExecSpec) -> Result<ExecSession> {
        soon!()
    }
    /// Connects the caller to a running container's first process.
    pub async fn attach(&self, id: &str, spec: AttachSpec) -> Result<ExecSession> {
        soon!()
    }
    /// Opens a container's log anew, after it was rotated.
    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        soon!()
    }
    /// Counters of these running containers, or of all.
    pub async fn container_stats(&self, ids: Option<&[String]>) -> Result<Vec<ContainerStats>> {
        soon!()
    }
    /// Changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        todo!()
    }
    /// How the engine is.
    pub fn status(&self) -> EngineStatus {
        todo!()
    }
    /// Lets go of everything; pods go on.
    pub async fn shutdown(&self) {}
}
