//! The agent's HTTP API on its Unix socket: what the command line and any local program may ask.
//!
//! Pods and events are Kubernetes' own objects, and pods' subresources are those of the API server
//! (`…/log`, `…/exec`), so that what one knows of the one holds for the other. Reading is all that is done to
//! pods here: what should run is said by the sources alone.
//!
//! | path | answer |
//! | --- | --- |
//! | `GET /api/v1/pods[?watch=1]`, `/api/v1/namespaces/NS/pods[/NAME]` | PodList, Pod, or JSON lines |
//! | `GET /api/v1/namespaces/NS/pods/NAME/log` | text, see [`logs`] |
//! | `GET /api/v1/namespaces/NS/pods/NAME/exec` | WebSocket, see [`exec`] |
//! | `GET /api/v1[/namespaces/NS]/events[?watch=1]` | EventList, or JSON lines |
//! | `GET /images`, `POST /images/{pull,import,export}`, `DELETE /images` | see [`images`] |
//! | `GET /sources`, `/version`, `/healthz`, `/readyz`, `/metrics` | state of the agent |

mod events;
pub mod exec;
mod gauges;
pub mod images;
mod listen;
pub mod logs;
mod node;
mod pods;
mod problem;
mod target;
mod watch;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::routing::{delete, get, post};
use tokio_util::sync::CancellationToken;

pub use self::problem::Problem;
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
    /// Somebody answers on the socket.
    #[error("an agent is already running on {path}; stop it, or choose another --state")]
    InUse {
        /// Path of the socket.
        path: std::path::PathBuf,
    },
}

/// Serves until `shutdown`.
pub async fn serve(handles: Handles, shutdown: CancellationToken) -> Result<(), Error> {
    let path = handles.config.api_socket.clone();
    let listener = listen::bind(&path).await?;
    tracing::debug!(socket = %path.display(), "the API is served");
    let api = Api { handles, shutdown: shutdown.clone() };
    let served = axum::serve(listener, router(api)).with_graceful_shutdown(shutdown.cancelled_owned());
    let served = served.await.map_err(|source| Error::Listen { path: path.clone(), source });
    // A socket left behind is harmless: the next agent sees that nobody answers on it.
    let _ = std::fs::remove_file(&path);
    served
}

/// What every endpoint may use.
#[derive(Clone)]
struct Api {
    handles: Handles,
    /// Ends the streams, which graceful shutdown would otherwise wait for.
    shutdown: CancellationToken,
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/api/v1/pods", get(pods::list_all))
        .route("/api/v1/namespaces/{namespace}/pods", get(pods::list_namespace))
        .route("/api/v1/namespaces/{namespace}/pods/{name}", get(pods::read))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/log", get(logs::serve))
        .route("/api/v1/namespaces/{namespace}/pods/{name}/exec", get(exec::serve))
        .route("/api/v1/events", get(events::list_all))
        .route("/api/v1/namespaces/{namespace}/events", get(events::list_namespace))
        .route("/images", get(images::list))
        .route("/images", delete(images::remove))
        .route("/images/pull", post(images::pull))
        .route("/images/import", post(images::import))
        .route("/images/export", post(images::export))
        .route("/sources", get(node::sources))
        .route("/version", get(node::version))
        .route("/healthz", get(node::healthz))
        .route("/readyz", get(node::readyz))
        .route("/metrics", get(node::metrics))
        .fallback(|| async { Problem::not_found("there is no such endpoint".into()) })
        .with_state(api)
}
