//! The engine's face; the work is in the modules below.
//!
//! Every operation writes its intent, does the deed in steps that may be done twice, and writes the outcome.
//! Memory follows the store, never runs ahead of it. What is asked about is answered from memory.
//!
//! Locks, in the order in which they are taken: a sandbox's (for reading by operations of its containers, for
//! writing by its own), a container's, a record's. None is held over a wait for a process's end that may take long,
//! but for the stop of a sandbox, which kills.
//!
//! Tasks: one per ready sandbox ([`watch`]) hears the shim and notices its end; one per exit heard takes note
//! of it; one per exec session waits for its exit.

mod container;
mod exec;
mod inner;
mod recovery;
mod sandbox;
mod state;
mod stats;
mod watch;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reeve_image::Images;
use reeve_network::Network;
use tokio::sync::broadcast;
use tokio_util::sync::DropGuard;

use crate::cgroup::Hierarchies;
use crate::config::Config;
use crate::error::Result;
use crate::failpoint;
use crate::store::Store;
use crate::types::{
    AttachSpec, Container, ContainerSpec, ContainerStats, Event, ExecOutput, ExecSession, ExecSpec,
    InterfaceStats, Resources, Sandbox, SandboxSpec,
};
use inner::{Inner, blocking, make_dir, make_private_dir};

/// The node's sandboxes, containers, images and networks. Cheap to clone; all clones are the same engine, which
/// lets go of its directories when the last has gone. Pods go on without it.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
    _closing: Arc<DropGuard>,
}

/// How the engine is.
#[derive(Clone)]
pub struct EngineStatus {
    /// Whether pods can have a network, or why not.
    pub network: std::result::Result<(), String>,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: &'static str,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("root", &self.inner.config.root).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the engine on its directories: locks them, reads what was, finds the shims, finishes or undoes what
    /// was under way, and sweeps up.
    pub async fn open(config: Config) -> Result<Engine> {
        failpoint::arm();
        let (root, state, writable) = (config.root.clone(), config.state.clone(), config.writable_dir());
        let (store, loaded) = blocking(move || {
            make_dir(&root)?;
            make_dir(&state)?;
            // Writable layers may hold setuid programs, which are for their containers only.
            make_private_dir(&writable)?;
            Store::open(&root, &state)
        })
        .await?;
        let images = Images::open(config.images.clone()).await?;
        let network = Network::open(config.network.clone()).await?;
        let inner = Arc::new(Inner::new(config, images, network, Hierarchies::find()?, store));
        inner.recover(loaded).await?;
        let closing = Arc::new(inner.closing.clone().drop_guard());
        let engine = Engine { inner, _closing: closing };
        engine.collect_unnamed_layers().await;
        Ok(engine)
    }

    /// Frees what a killed pull had whole already: blobs and layers that no image names yet.
    async fn collect_unnamed_layers(&self) {
        let in_use: Vec<_> = self.images_in_use().iter().filter_map(|id| id.parse().ok()).collect();
        if let Err(error) = self.images().collect_garbage(&in_use).await {
            tracing::warn!(%error, "layers that no image names could not be freed");
        }
    }

    /// The images of this node.
    pub fn images(&self) -> &Images {
        &self.inner.images
    }

    /// Ids of images that containers use: their layers must stay.
    pub fn images_in_use(&self) -> HashSet<String> {
        self.inner
            .containers
            .all_with(|_| true)
            .iter()
            .map(|entry| entry.record.get().image_id.clone())
            .collect()
    }

    /// Makes a sandbox and gives its id.
    pub async fn run_sandbox(&self, spec: SandboxSpec) -> Result<String> {
        self.inner.run_sandbox(spec).await
    }

    /// Ends a sandbox: kills its containers, frees its network. Doing it again is no error, nor is an unknown id.
    pub async fn stop_sandbox(&self, id: &str) -> Result<()> {
        self.inner.stop_sandbox(id).await
    }

    /// Removes a sandbox with its containers. Doing it again is no error, nor is an unknown id.
    pub async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.inner.remove_sandbox(id).await
    }

    /// The sandbox of this id, or of the only id that begins so.
    pub fn sandbox(&self, id_or_prefix: &str) -> Result<Sandbox> {
        Ok(self.inner.sandboxes.find(id_or_prefix)?.view())
    }

    /// All sandboxes, the oldest first.
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        self.inner.sandboxes.all().iter().map(|entry| entry.view()).collect()
    }

    /// Counters of a sandbox's network interfaces; none on the host's network.
    pub async fn sandbox_network_stats(&self, id: &str) -> Result<Vec<InterfaceStats>> {
        self.inner.sandbox_network_stats(id).await
    }

    /// Path of the sandbox's network namespace, to enter it; none on the host's network.
    pub fn sandbox_netns(&self, id: &str) -> Result<Option<PathBuf>> {
        let entry = self.inner.sandboxes.find(id)?;
        Ok(self.inner.network.get(&entry.id).map(|attachment| attachment.netns))
    }

    /// Makes a container (no process yet) and gives its id.
    pub async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<String> {
        self.inner.create_container(sandbox, spec).await
    }

    /// Starts a container's program. On failure it is exited, with reason `StartError` and code 128.
    pub async fn start_container(&self, id: &str) -> Result<()> {
        self.inner.start_container(id).await
    }

    /// Asks a container to end, kills it after `grace`, and returns when it has ended.
    pub async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.inner.stop_container(id, grace).await
    }

    /// Removes a container, killing it first when it runs. Doing it again is no error, nor is an unknown id.
    pub async fn remove_container(&self, id: &str) -> Result<()> {
        self.inner.remove_container(id).await
    }

    /// The container of this id, or of the only id that begins so.
    pub fn container(&self, id_or_prefix: &str) -> Result<Container> {
        Ok(self.inner.containers.find(id_or_prefix)?.view())
    }

    /// All containers, the oldest first.
    pub fn containers(&self) -> Vec<Container> {
        self.inner.containers.all().iter().map(|entry| entry.view()).collect()
    }

    /// Changes limits of a created or running container; absent ones stay.
    pub async fn update_container(&self, id: &str, resources: Resources) -> Result<()> {
        self.inner.update_container(id, resources).await
    }

    /// Runs a command in a running container to its end; at the time-out it is killed.
    pub async fn exec_sync(
        &self,
        id: &str,
        cmd: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput> {
        self.inner.exec_sync(id, cmd, timeout).await
    }

    /// Starts a command in a running container, connected to the caller.
    pub async fn exec(&self, id: &str, spec: ExecSpec) -> Result<ExecSession> {
        self.inner.exec(id, spec).await
    }

    /// Connects the caller to a running container's first process.
    pub async fn attach(&self, id: &str, spec: AttachSpec) -> Result<ExecSession> {
        self.inner.attach(id, spec).await
    }

    /// Opens a container's log anew, after it was rotated.
    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        self.inner.reopen_log(id).await
    }

    /// Counters of those of these containers that run, or of all that do.
    pub async fn container_stats(&self, ids: Option<&[String]>) -> Result<Vec<ContainerStats>> {
        self.inner.container_stats(ids).await
    }

    /// Changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// How the engine is.
    pub fn status(&self) -> EngineStatus {
        let cgroup_driver = if self.inner.config.systemd_cgroup { "systemd" } else { "cgroupfs" };
        EngineStatus { network: self.inner.network.ready(), cgroup_driver }
    }

    /// Ends the engine's own tasks and brings its state to disk; pods go on.
    pub async fn shutdown(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        if let Err(error) = self.inner.store.flush().await {
            tracing::error!("the state on disk is behind: {}", crate::error::chain(&error));
        }
    }
}
