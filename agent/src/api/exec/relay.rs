//! Passes the messages of one WebSocket on to another, both ways.

use axum::extract::ws as client;
use futures::{Sink, SinkExt, Stream, StreamExt};
use http::HeaderValue;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use super::PROTOCOLS;

/// Why the runtime's streaming server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The runtime's answer.
    #[error("the container runtime gave the streaming URL {url:?}, which is no plain http URL")]
    Url {
        /// What it gave.
        url: String,
    },
    #[error("cannot connect to the container runtime's streaming server at {authority}: {source}")]
    Connect { authority: String, source: std::io::Error },
    #[error("the container runtime's streaming server at {authority} refused: {source}")]
    Handshake { authority: String, source: Box<tungstenite::Error> },
}

/// An open connection to the streaming server.
pub(super) struct Upstream {
    pub(super) socket: WebSocketStream<TcpStream>,
    /// The protocol it chose.
    pub(super) protocol: String,
}

/// Opens the URL that CRI's Exec has answered with.
pub(super) async fn connect(url: &str) -> Result<Upstream, Error> {
    let no_url = || Error::Url { url: url.to_owned() };
    let uri: http::Uri = url.parse().map_err(|_| no_url())?;
    let (Some("http" | "ws"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(no_url());
    };
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = format!("ws://{authority}{path}").into_client_request().map_err(|_| no_url())?;
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&PROTOCOLS.join(", ")).map_err(|_| no_url())?);
    let authority = authority.to_string();
    let address = (uri.host().unwrap_or_default().trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|source| Error::Connect { authority: authority.clone(), source })?;
    // Keystrokes are small and wanted at once.
    let _ = tcp.set_nodelay(true);
    let (socket, response) = tokio_tungstenite::client_async(request, tcp)
        .await
        .map_err(|source| Error::Handshake { authority, source: Box::new(source) })?;
    let chosen = response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    Ok(Upstream { socket, protocol: chosen.unwrap_or(PROTOCOLS[0]).to_owned() })
}

/// Passes messages on until either side ends.
pub(super) async fn run(client: client::WebSocket, upstream: WebSocketStream<TcpStream>) {
    let (mut to_client, mut from_client) = client.split();
    let (mut to_upstream, mut from_upstream) = upstream.split();
    let up = pass(&mut from_client, &mut to_upstream, upwards);
    let down = pass(&mut from_upstream, &mut to_client, downwards);
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    // Whoever is still there learns that it is over; whoever is gone does not mind.
    let _ = to_client.close().await;
    let _ = to_upstream.close().await;
}

async fn pass<A, B, E>(
    from: &mut (impl Stream<Item = Result<A, E>> + Unpin),
    to: &mut (impl Sink<B> + Unpin),
    convert: impl Fn(A) -> Option<B>,
) {
    while let Some(Ok(message)) = from.next().await {
        let Some(message) = convert(message) else { continue };
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// Pings are each side's own affair: both libraries answer them.
fn upwards(message: client::Message) -> Option<Message> {
    match message {
        client::Message::Binary(bytes) => Some(Message::Binary(bytes)),
        client::Message::Text(text) => Some(Message::Text(text.as_str().into())),
        client::Message::Close(_) => Some(Message::Close(None)),
        client::Message::Ping(_) | client::Message::Pong(_) => None,
    }
}

fn downwards(message: Message) -> Option<client::Message> {
    match message {
        Message::Binary(bytes) => Some(client::Message::Binary(bytes)),
        Message::Text(text) => Some(client::Message::Text(text.as_str().into())),
        Message::Close(_) => Some(client::Message::Close(None)),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}
