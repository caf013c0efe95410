//! The streaming server: where Exec, Attach and PortForward continue after their gRPC call.
//!
//! The call leaves what it was asked for with [`Streaming::prepare`] and gets a URL with a one-time token. The
//! client connects to that URL over WebSocket; whoever presents the token gets what was prepared, and nothing
//! else. The listener is on loopback, and SPDY/3.1 is refused with words that say what to use instead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::any;
use reeve_engine::{AttachSpec, Engine, ExecSpec};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Error;

mod channel;
mod command;
mod netns;
mod outcome;
mod port_forward;
mod relay;
#[cfg(test)]
mod relay_tests;
mod session;
mod tokens;
mod upgrade;

use tokens::Tokens;

/// What a token is good for.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// A further process in a container.
    Exec {
        /// Full id.
        container: String,
        /// What to run, with which streams.
        spec: ExecSpec,
    },
    /// The first process of a container.
    Attach {
        /// Full id.
        container: String,
        /// With which streams.
        spec: AttachSpec,
    },
    /// Connections to ports of a sandbox.
    PortForward {
        /// Full id.
        sandbox: String,
        /// The ports, in the order of their channels.
        ports: Vec<u16>,
    },
}

/// The streaming server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Streaming {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    address: SocketAddr,
    tokens: Tokens<Prepared>,
}

impl Streaming {
    /// Listens on `address` until `closing` is cancelled.
    pub(crate) async fn start(
        engine: Engine,
        address: SocketAddr,
        closing: CancellationToken,
    ) -> Result<Streaming, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::NotLoopback { address });
        }
        let failed = |source| Error::Streaming { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let streaming = Streaming { shared: Arc::new(Shared { engine, address, tokens: Tokens::new() }) };

        let router = Router::new()
            .route("/exec/{token}", any(upgrade::connect))
            .route("/attach/{token}", any(upgrade::connect))
            .route("/portforward/{token}", any(upgrade::connect))
            .with_state(streaming.clone());
        tokio::spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned());
            if let Err(error) = server.await {
                tracing::error!(%error, "the streaming server ended");
            }
        });
        Ok(streaming)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The URL under which `prepared` waits for its client, for a minute.
    pub(crate) fn prepare(&self, prepared: Prepared) -> Result<String, Status> {
        let path = match prepared {
            Prepared::Exec { .. } => "exec",
            Prepared::Attach { .. } => "attach",
            Prepared::PortForward { .. } => "portforward",
        };
        let token = self
            .shared
            .tokens
            .issue(prepared, Instant::now())
            .map_err(|full| Status::resource_exhausted(full.to_string()))?;
        Ok(format!("http://{}/{path}/{token}", self.shared.address))
    }

    fn redeem(&self, token: &str) -> Option<Prepared> {
        self.shared.tokens.redeem(token, Instant::now())
    }

    fn engine(&self) -> &Engine {
        &self.shared.engine
    }
}
