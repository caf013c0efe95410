//! The agent's HTTP API on its Unix socket.

use tokio_util::sync::CancellationToken;

use crate::Handles;

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be bound.
    #[error("cannot listen on {path}")]
    Listen {
        /// Path of the socket.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves until `shutdown`.
pub async fn serve(_handles: Handles, shutdown: CancellationToken) -> Result<(), Error> {
    shutdown.cancelled().await;
    Ok(())
}
