//! The container runtime built in: the engine, and the CRI service over it.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use reeve_engine::Engine;
use tokio::task::JoinHandle;

use super::{Stop, notify};
use crate::exit::{FAILED, Failure};
use crate::settings::{self, NodeFlags};
use crate::version::VERSION;

/// A running runtime.
pub(super) struct Embedded {
    engine: Engine,
    /// Ends the CRI service, after the agent.
    closing: Stop,
    served: JoinHandle<Result<(), reeve_cri::Error>>,
}

impl Embedded {
    /// Opens the engine and waits until the CRI socket answers. Should the service fail later, `stop` is triggered.
    pub(super) async fn start(flags: &NodeFlags, stop: &Stop) -> anyhow::Result<Embedded> {
        let engine =
            Engine::open(engine_config(flags)?).await.context("cannot start the container engine")?;
        let mut config = reeve_cri::Config::new(flags.cri_socket(), &flags.root);
        config.version = VERSION.to_owned();
        let socket = config.socket.clone();
        let closing = Stop::new();
        let serving = reeve_cri::serve(engine.clone(), config, closing.clone().cancelled_owned());
        let failed = stop.clone();
        let mut served = tokio::spawn(async move {
            let ended = serving.await;
            failed.cancel();
            ended
        });
        tokio::select! {
            answers = notify::answers(&socket, stop) => {
                if answers || !served.is_finished() {
                    return Ok(Embedded { engine, closing, served });
                }
                flatten(served.await)?;
            }
            ended = &mut served => flatten(ended)?,
        }
        bail!("the CRI service ended before it began")
    }

    /// The engine.
    pub(super) fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Brings an image archive into the store.
    pub(super) async fn import(&self, archive: &Path) -> anyhow::Result<()> {
        let imported = self.engine.images().import(archive).await;
        let images = imported.with_context(|| format!("cannot import {}", archive.display()))?;
        for image in images {
            tracing::info!(image = %image.repo_tags.join(", "), "imported");
        }
        Ok(())
    }

    /// Ends the CRI service and then the engine. Pods are left as they are.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.closing.cancel();
        let ended = flatten(self.served.await);
        self.engine.shutdown().await;
        ended
    }
}

fn flatten(ended: Result<Result<(), reeve_cri::Error>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.map_err(|error| anyhow!("the CRI service panicked: {error}"))?.context("the CRI service failed")
}

fn engine_config(flags: &NodeFlags) -> anyhow::Result<reeve_engine::Config> {
    let shim = flags.shim.clone().or_else(|| settings::find_program("reeve-shim")).ok_or_else(|| {
        Failure::new(FAILED, "reeve-shim is neither beside reeve nor on PATH")
            .hint("install it there, or name it with --shim PATH")
    })?;
    let network_dirs = (flags.root.join("network"), flags.state.join("netns"));
    let mut network = reeve_network::Config::new(&flags.bridge, flags.subnet, network_dirs.0, network_dirs.1);
    network.subnet6 = flags.subnet6;
    let mut images = reeve_image::Config::new(&flags.root);
    if !flags.certs_dirs.is_empty() {
        images.certs_dirs.clone_from(&flags.certs_dirs);
    }
    Ok(reeve_engine::Config {
        root: flags.root.clone(),
        state: flags.state.clone(),
        shim,
        network,
        images,
        cgroup_parent: flags.cgroup_parent(),
        systemd_cgroup: flags.systemd_cgroup,
    })
}
