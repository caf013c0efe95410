//! The reconciler: desired pods from sources, carried out through CRI, their status reported.
//!
//! ```text
//! sources ──Message──► pods (who is desired) ──watch──► a worker per pod ──plan()──► CRI calls
//!                                                            ▲    └──► PodStore, events
//!                      CRI events ──► cache of what is so ───┘
//! ```
//! A [`sources::Mailbox`] belongs to one source; [`status::PodStore`] and [`events::EventRecorder`] are
//! written by the workers alone and read by everyone through [`Handles`].

pub mod api;
pub mod clock;
pub mod config;
pub mod cri;
pub mod events;
mod handles;
pub mod images;
pub mod metrics;
pub mod pod;
pub mod sources;
pub mod status;

pub use config::Config;
pub use handles::Handles;
use tokio_util::sync::CancellationToken;

/// Why an agent could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory of the agent cannot be made.
    #[error("cannot make directory {path}")]
    MakeDir {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The API cannot be served.
    #[error(transparent)]
    Api(#[from] api::Error),
}

/// Runs an agent until `shutdown`; returns when its pods are gone, or at once with [`Config::keep`].
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    run_with(Handles::new(config), shutdown).await
}

/// The same with handles made before, so that the caller can look at the pods.
pub async fn run_with(handles: Handles, shutdown: CancellationToken) -> Result<(), Error> {
    api::serve(handles, shutdown).await?;
    Ok(())
}
