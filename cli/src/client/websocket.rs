//! The channels of an exec over a WebSocket: `v5.channel.k8s.io`. The first byte of each message names the
//! channel; `[255, n]` ends channel n.

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Response};
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::{Agent, error};

const PROTOCOLS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";

const STDIN: u8 = 0;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What the other side says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Output of the command.
    Stdout(Bytes),
    /// Its errors.
    Stderr(Bytes),
    /// How it ended: a metav1.Status as JSON.
    Outcome(Bytes),
}

/// An open exec.
pub(crate) struct Channels {
    socket: WebSocketStream<UnixStream>,
    /// v4 cannot end a channel.
    can_close: bool,
}

impl Agent {
    /// Opens an exec at `path`.
    pub(crate) async fn channels(&self, path: &str) -> anyhow::Result<Channels> {
        let stream = self.connect().await?;
        let mut request = format!("ws://localhost{path}").into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOLS));
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, answer)) => Ok(Channels { socket, can_close: is_v5(&answer) }),
            Err(Error::Http(answer)) => {
                let body = answer.body().clone().unwrap_or_default();
                Err(error::refused(answer.status(), &body).into())
            }
            Err(error) => Err(error).context("the agent refused the WebSocket"),
        }
    }
}

fn is_v5(answer: &Response<Option<Vec<u8>>>) -> bool {
    answer.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|chosen| chosen == "v5.channel.k8s.io")
}

impl Channels {
    /// Sends input to the command.
    pub(crate) async fn stdin(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.send(STDIN, bytes).await
    }

    /// Tells the command that its input has ended.
    pub(crate) async fn end_stdin(&mut self) -> anyhow::Result<()> {
        if self.can_close { self.send(CLOSE, &[STDIN]).await } else { Ok(()) }
    }

    /// Tells the command's terminal how large ours is.
    pub(crate) async fn resize(&mut self, columns: u16, rows: u16) -> anyhow::Result<()> {
        let size = serde_json::json!({"Width": columns, "Height": rows}).to_string();
        self.send(RESIZE, size.as_bytes()).await
    }

    /// What comes next; `None` when the other side has hung up.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Said>> {
        while let Some(message) = self.socket.next().await {
            match message {
                Ok(Message::Binary(bytes)) => {
                    if let Some(said) = parse(bytes) {
                        return Ok(Some(said));
                    }
                }
                Ok(Message::Close(_)) => return Ok(None),
                Ok(_) => {}
                Err(Error::ConnectionClosed) => return Ok(None),
                Err(error) => return Err(error).context("the connection to the command was lost"),
            }
        }
        Ok(None)
    }

    async fn send(&mut self, channel: u8, bytes: &[u8]) -> anyhow::Result<()> {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        self.socket
            .send(Message::Binary(message.into()))
            .await
            .context("the connection to the command was lost")
    }
}

/// Takes a message apart; `None` for channels that say nothing to us.
fn parse(mut message: Bytes) -> Option<Said> {
    if message.is_empty() {
        return None;
    }
    let bytes = message.split_off(1);
    match message[0] {
        // A message without content opens a channel, which says nothing.
        1..=3 if bytes.is_empty() => None,
        1 => Some(Said::Stdout(bytes)),
        2 => Some(Said::Stderr(bytes)),
        3 => Some(Said::Outcome(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_names_the_channel() {
        assert_eq!(parse(Bytes::from_static(b"\x01out")), Some(Said::Stdout("out".into())));
        assert_eq!(parse(Bytes::from_static(b"\x02err")), Some(Said::Stderr("err".into())));
        assert_eq!(parse(Bytes::from_static(b"\x03{}")), Some(Said::Outcome("{}".into())));
        for silent in [&b""[..], b"\x01", b"\x02", b"\x03", b"\x09x", b"\xff\x01"] {
            assert_eq!(parse(Bytes::copy_from_slice(silent)), None, "{silent:?}");
        }
    }
}
