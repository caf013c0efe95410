//! The reconciler: desired pods from sources, carried out through CRI, their status reported.
//!
//! ```text
//! sources ──Message──► pool (who is desired) ──watch──► a worker per pod ──plan()──► CRI calls
//!                                                            ▲    └──► PodStore, events
//!                      CRI events ──► "look again" ──────────┘
//! ```
//! A [`sources::Mailbox`] belongs to one source; [`status::PodStore`] and [`events::EventRecorder`] are
//! written by the workers alone and read by everyone through [`Handles`]. [`plan`] decides and does nothing.

pub mod api;
pub mod clock;
pub mod config;
pub mod cri;
pub mod events;
mod handles;
pub mod images;
mod log_line;
pub mod metrics;
pub mod plan;
pub mod pod;
mod probes;
pub mod sources;
mod spec;
pub mod status;
mod volumes;
mod workers;

pub use config::Config;
pub use handles::Handles;
use sources::{Mailbox, Message};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory of the agent cannot be made or read.
    #[error("cannot use {path}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The API cannot be served.
    #[error(transparent)]
    Api(#[from] api::Error),
}

impl From<workers::record::Error> for Error {
    fn from(error: workers::record::Error) -> Error {
        Error::Directory { path: error.path, source: error.source }
    }
}

/// Runs an agent until `shutdown`; returns when its pods are gone, or at once with [`Config::keep`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    run_with(Handles::new(config), shutdown).await
}

/// The same with handles made before, so that the caller can look at the pods.
pub async fn run_with(handles: Handles, shutdown: CancellationToken) -> Result<(), Error> {
    let serving = CancellationToken::new();
    let mut api = JoinSet::new();
    api.spawn(api::serve(handles.clone(), serving.clone()));
    let pods = run_pods(handles, shutdown);
    tokio::pin!(pods);
    let result = tokio::select! {
        // The API ends by itself only when it cannot be served.
        Some(ended) = api.join_next() => match ended {
            Ok(Err(error)) => return Err(error.into()),
            _ => pods.await,
        },
        result = &mut pods => result,
    };
    serving.cancel();
    while api.join_next().await.is_some() {}
    result
}

/// The sources and the workers, without the API.
pub async fn run_pods(handles: Handles, shutdown: CancellationToken) -> Result<(), Error> {
    let reconciler = Reconciler::new(handles.clone())?;
    let mut sources = JoinSet::new();
    // Every mailbox exists before any source speaks, or the first one's scan would pass for all.
    let mut files = Vec::new();
    for path in &handles.config.manifests {
        files.push((path.clone(), reconciler.mailbox(&path.to_string_lossy())));
    }
    if let Some(kubeconfig) = handles.config.kubeconfig.clone() {
        let mailbox = reconciler.mailbox("cluster");
        sources.spawn(sources::cluster::run(handles.clone(), mailbox, kubeconfig, shutdown.clone()));
    }
    for (path, mailbox) in files {
        sources.spawn(sources::files::run(handles.clone(), mailbox, path, shutdown.clone()));
    }
    reconciler.run(shutdown).await;
    while sources.join_next().await.is_some() {}
    Ok(())
}

/// The workers, and mailboxes for sources of whatever kind.
pub struct Reconciler {
    handles: Handles,
    pool: workers::Pool,
    sender: mpsc::UnboundedSender<Message>,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Reconciler {
    /// A reconciler that goes on with the pods that the one before it left.
    pub fn new(handles: Handles) -> Result<Reconciler, Error> {
        let root = &handles.config.root;
        std::fs::create_dir_all(root).map_err(|source| Error::Directory { path: root.clone(), source })?;
        let pool = workers::Pool::restore(handles.clone())?;
        let (sender, messages) = mpsc::unbounded_channel();
        Ok(Reconciler { handles, pool, sender, messages })
    }

    /// The mailbox of a new source. All are made before the first one speaks.
    pub fn mailbox(&self, name: &str) -> Mailbox {
        self.handles.sources.mailbox(name, self.handles.clock, self.sender.clone())
    }

    /// Works until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        self.pool.run(self.messages, shutdown).await;
    }
}
