//! The daemons: engine, CRI service and agent put together in one process, started and ended in order.
//!
//! ```text
//! start: engine ─► CRI socket answers ─► archives imported ─► agent ─► READY=1
//! end:   signal ─► STOPPING=1 ─► agent (removes its pods, or keeps them) ─► CRI service ─► engine
//! ```
//! The agent speaks to the CRI service over its socket as it would to any other runtime. [`stop`] owns the
//! signals, [`live`] the terminal; nothing here keeps state of pods.

mod embedded;
mod images;
mod live;
mod notify;
mod stop;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use reeve_agent::{Config, Handles};
use tokio_util::sync::CancellationToken;

use self::embedded::Embedded;
use self::images::EngineImages;
use crate::commands::agent::AgentArgs;
use crate::settings::{self, NodeFlags};
use crate::terminal::screen;

/// `reeve agent`.
pub(crate) async fn agent(args: AgentArgs) -> anyhow::Result<()> {
    install_tls();
    let stop = stop::on_signals()?;
    let runtime = match &args.cri_socket {
        Some(_) => None,
        None => Some(Embedded::start(&args.node, &stop).await?),
    };
    if let Some(runtime) = &runtime {
        for archive in &args.imports {
            runtime.import(archive).await?;
        }
    }
    let config = config(&args, runtime.as_ref())?;
    let keep = config.keep;
    let handles = Handles::new(config);
    let table = args.table || (!args.no_table && std::io::stdout().is_terminal());
    let view = tokio::spawn(live::run(handles.clone(), table, stop.clone()));
    let ready = tokio::spawn(notify::when_answering(handles.config.api_socket.clone(), stop.clone()));
    let ended = reeve_agent::run_with(handles.clone(), stop.clone()).await;
    // An agent that could not start takes everything with it.
    stop.cancel();
    ready.abort();
    view.abort();
    // Wait for it, or its last table may be written under what comes now.
    let _ = view.await;
    if keep {
        screen::leave();
    } else {
        // Its pods are gone; so is the terminal, perhaps.
        let _ = screen::show(Vec::new());
    }
    if let Some(runtime) = runtime {
        runtime.stop().await?;
    }
    ended.context("the agent failed")?;
    tell_end(keep, handles.pods.list().len());
    Ok(())
}

/// `reeve cri`.
pub(crate) async fn cri(flags: NodeFlags) -> anyhow::Result<()> {
    install_tls();
    let stop = stop::on_signals()?;
    let runtime = Embedded::start(&flags, &stop).await?;
    notify::ready();
    stop.cancelled().await;
    notify::stopping();
    runtime.stop().await
}

fn tell_end(keep: bool, pods: usize) {
    match (keep, pods) {
        (true, 1..) => tracing::info!(pods, "the agent has ended; its pods go on (--keep)"),
        _ => tracing::info!("the agent has ended"),
    }
}

/// The one provider of cryptography, for the registry's and the cluster's connections.
fn install_tls() {
    // It fails only where one is installed already, which then is this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn config(args: &AgentArgs, runtime: Option<&Embedded>) -> anyhow::Result<Config> {
    let socket = args.cri_socket.clone().unwrap_or_else(|| args.node.cri_socket());
    let mut config = Config::new(&args.node.root, &args.node.state, &socket);
    config.manifests = args.manifests.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
    config.kubeconfig = args.kubeconfig.clone();
    config.log_root = args.node.log_root.clone();
    config.cgroup_parent = args.node.cgroup_parent();
    config.node_name = args.node_name.clone().unwrap_or_else(settings::host_name);
    config.node_ip = args.node_ip.or_else(settings::node_address);
    config.keep = args.keep;
    config.max_pods = args.max_pods;
    config.images = runtime.map(|runtime| Arc::new(EngineImages::new(runtime.engine())) as Arc<_>);
    Ok(config)
}

fn absolute(path: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(path).with_context(|| format!("no absolute path of {}", path.display()))
}

/// Ends everything: what a daemon waits for, and what it triggers when a part of it fails.
type Stop = CancellationToken;
