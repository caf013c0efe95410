//! A client of the agent's API on its Unix socket.

mod body;
mod error;
mod query;
mod websocket;

use std::path::{Path, PathBuf};

use anyhow::Context;
use http::{Method, Request};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

pub(crate) use self::body::{Body, Lines};
pub(crate) use self::query::{Query, segment};
pub(crate) use self::websocket::{Channels, Said};

/// An agent, by its socket. Each request is a connection of its own: there are few of them.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent that listens on `socket`.
    pub(crate) fn at(socket: &Path) -> Agent {
        Agent { socket: socket.to_owned() }
    }

    /// Asks for an object.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path).await
    }

    /// Sends a request whose answer is one JSON value.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        let bytes = self.send(method, path).await?.all().await?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("the agent's answer to {path} is not as expected"))
    }

    /// Sends a request, and gives the body of its answer once that is a success.
    pub(crate) async fn send(&self, method: Method, path: &str) -> anyhow::Result<Body> {
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "localhost")
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await.context("the agent hung up")?;
        let status = answer.status();
        let body = Body::new(answer.into_body());
        if status.is_success() {
            return Ok(body);
        }
        Err(error::refused(status, &body.all().await.unwrap_or_default()).into())
    }

    async fn connect(&self) -> anyhow::Result<UnixStream> {
        let stream = UnixStream::connect(&self.socket).await;
        stream.map_err(|source| error::unreachable(&self.socket, &source).into())
    }
}

#[cfg(test)]
mod tests;
