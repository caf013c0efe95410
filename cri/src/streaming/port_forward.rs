//! Port forwarding over WebSocket channels: port number `i` of the request has channel `2i` for data both ways
//! and `2i + 1` for errors (k8s.io/cri-streaming `portforward/websocket.go`). The server opens each with the
//! port's number in two bytes, the lower first.

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::channel::{Incoming, Protocol};
use super::{Streaming, netns};
use crate::status;

/// The protocols of port forwarding, best first.
pub(super) const PROTOCOLS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// So that every channel has a number.
const MOST_PORTS: usize = 100;

const BUFFER: usize = 32 * 1024;

/// Messages that wait for the socket, or for a port's program.
const IN_FLIGHT: usize = 4;

/// Forwards `ports` of `sandbox` to the client until it goes or all connections have ended.
pub(super) async fn serve(
    streaming: Streaming,
    socket: WebSocket,
    protocol: Protocol,
    sandbox: String,
    ports: Vec<u16>,
) {
    let (sink, stream) = socket.split();
    let (to_client, outgoing) = mpsc::channel::<Message>(IN_FLIGHT);
    let ports: Vec<u16> = ports.into_iter().take(MOST_PORTS).collect();
    let mut inlets = Vec::new();
    let mut forwards = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let (inlet, incoming) = mpsc::channel::<Bytes>(IN_FLIGHT);
        inlets.push(inlet);
        let outlet = Outlet { protocol, to_client: to_client.clone(), index };
        forwards.push(forward(streaming.clone(), sandbox.clone(), port, incoming, outlet));
    }
    drop(to_client);
    let served = async { tokio::join!(futures::future::join_all(forwards), deliver(sink, outgoing)) };
    tokio::select! {
        _ = served => {}
        () = accept(stream, protocol, inlets) => {}
    }
}

/// A port's way to the client.
struct Outlet {
    protocol: Protocol,
    to_client: mpsc::Sender<Message>,
    index: usize,
}

impl Outlet {
    async fn data(&self, bytes: &[u8]) -> bool {
        self.send(self.index * 2, bytes).await
    }

    async fn error(&self, bytes: &[u8]) -> bool {
        self.send(self.index * 2 + 1, bytes).await
    }

    /// Whether there is still a client.
    async fn send(&self, channel: usize, bytes: &[u8]) -> bool {
        let Ok(channel) = u8::try_from(channel) else {
            return false;
        };
        self.to_client.send(self.protocol.encode(channel, bytes)).await.is_ok()
    }
}

async fn forward(
    streaming: Streaming,
    sandbox: String,
    port: u16,
    incoming: mpsc::Receiver<Bytes>,
    outlet: Outlet,
) {
    let greeting = port.to_le_bytes();
    if !(outlet.data(&greeting).await && outlet.error(&greeting).await) {
        return;
    }
    match open(&streaming, &sandbox, port).await {
        Ok(connection) => {
            let (reader, writer) = connection.into_split();
            tokio::join!(feed(incoming, writer), drain(reader, &outlet));
        }
        Err(reason) => {
            outlet.error(format!("error forwarding port {port} to pod {sandbox}: {reason}").as_bytes()).await;
        }
    }
}

async fn open(streaming: &Streaming, sandbox: &str, port: u16) -> Result<TcpStream, String> {
    let netns = streaming.engine().sandbox_netns(sandbox).map_err(|error| status::chain(&error))?;
    netns::connect(netns, port).await.map_err(|error| error.to_string())
}

/// Client to program.
async fn feed(mut incoming: mpsc::Receiver<Bytes>, mut writer: OwnedWriteHalf) {
    while let Some(bytes) = incoming.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// Program to client.
async fn drain(mut reader: OwnedReadHalf, outlet: &Outlet) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        if !outlet.data(&buffer[..count]).await {
            return;
        }
    }
}

async fn deliver(mut sink: SplitSink<WebSocket, Message>, mut outgoing: mpsc::Receiver<Message>) {
    while let Some(message) = outgoing.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    let _ = sink.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))).await;
}

/// Hands the client's bytes to their ports until the client has gone.
async fn accept(mut stream: SplitStream<WebSocket>, protocol: Protocol, inlets: Vec<mpsc::Sender<Bytes>>) {
    while let Some(Ok(message)) = stream.next().await {
        let Ok(incoming) = protocol.decode(message) else {
            return;
        };
        if let Incoming::Data { channel, bytes } = incoming
            && channel % 2 == 0
            && let Some(inlet) = inlets.get(usize::from(channel / 2))
        {
            // The connection of that port may have ended before the client learnt of it.
            let _ = inlet.send(bytes).await;
        }
    }
}
