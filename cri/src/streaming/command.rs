//! Exec and attach.

use axum::extract::ws::WebSocket;
use futures::future;
use reeve_engine::{AttachSpec, ExecSession, ExecSpec};

use super::Streaming;
use super::channel::Protocol;
use super::relay::relay;
use super::session::Session;
use crate::status;

/// Runs the command, connected to the client.
pub(super) async fn exec(
    streaming: Streaming,
    socket: WebSocket,
    protocol: Protocol,
    container: String,
    spec: ExecSpec,
) {
    let tty = spec.tty;
    let started = streaming.engine().exec(&container, spec).await;
    relay(socket, protocol, connected(started, tty)).await;
}

/// Connects the client to the container's first process.
pub(super) async fn attach(
    streaming: Streaming,
    socket: WebSocket,
    protocol: Protocol,
    container: String,
    spec: AttachSpec,
) {
    let tty = streaming.engine().container(&container).is_ok_and(|container| container.spec.tty);
    let connection = streaming.engine().attach(&container, spec).await;
    relay(socket, protocol, connected(connection, tty)).await;
}

/// A process that could not be reached has no streams, only an end that says why: the client's connection is
/// already up, and its error channel is where it looks.
fn connected(session: Result<ExecSession, reeve_engine::Error>, tty: bool) -> Session {
    match session {
        Ok(session) => Session::of_engine(session, tty),
        Err(error) => Session {
            stdin: None,
            stdout: None,
            stderr: None,
            resize: None,
            exit: Box::pin(future::ready(Err(status::chain(&error)))),
        },
    }
}
