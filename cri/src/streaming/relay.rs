//! Carries a [`Session`] over a WebSocket.
//!
//! Three tasks' worth of work in one future: the client's messages go to the process, the process's output goes
//! to the client, and the end of the process goes to the error channel. Output is read only when the client
//! has taken what was read before, so a slow client costs one buffer per stream and blocks only its own process.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::channel::{ERROR, Incoming, Protocol, RESIZE, STDERR, STDIN, STDOUT};
use super::outcome::Outcome;
use super::session::{Input, Output, Resize, Session, Size};

const BUFFER: usize = 32 * 1024;

/// Messages between the readers of output and the socket.
const IN_FLIGHT: usize = 2;

/// How long output may go on without a byte after the process has ended: a child it left behind may hold the
/// pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// How the client's side of the connection came to its end.
enum ClientEnd {
    /// It closed the connection or broke it.
    Gone,
    /// It sent what no client of this protocol sends.
    Fault(&'static str),
}

/// Serves `session` to the client of `socket` until the process ends or the client goes.
pub(super) async fn relay(socket: WebSocket, protocol: Protocol, session: Session) {
    let Session { stdin, stdout, stderr, resize, exit } = session;
    let (mut sink, stream) = socket.split();
    if greet(&mut sink, protocol, stdout.is_some(), stderr.is_some()).await.is_err() {
        return;
    }

    let (sender, receiver) = mpsc::channel::<Message>(IN_FLIGHT);
    let command = async {
        let output = async {
            tokio::join!(
                pump(stdout, STDOUT, protocol, sender.clone()),
                pump(stderr, STDERR, protocol, sender.clone()),
            );
        };
        let outcome = run_to_end(output, exit, &sender).await;
        if let Some(bytes) = outcome.encode(protocol) {
            let _ = sender.send(protocol.encode(ERROR, &bytes)).await;
        }
        drop(sender);
    };
    let input = async {
        let end = accept_input(stream, protocol, stdin, resize).await;
        if let ClientEnd::Fault(fault) = end {
            tracing::debug!(fault, "streaming client broke the protocol");
        }
    };

    // The command's side ends by dropping the last sender, which ends `deliver` after the last message.
    let served = async { tokio::join!(command, deliver(&mut sink, receiver)) };
    tokio::select! {
        (_, delivered) = served => {
            if delivered.is_ok() {
                farewell(sink).await;
            }
        }
        () = input => {}
    }
}

/// An empty message on the lowest output tells the client that the streams are there.
async fn greet(
    sink: &mut SplitSink<WebSocket, Message>,
    protocol: Protocol,
    stdout: bool,
    stderr: bool,
) -> Result<(), axum::Error> {
    let channel = match (stdout, stderr) {
        (true, _) => STDOUT,
        (false, true) => STDERR,
        (false, false) => ERROR,
    };
    sink.send(protocol.encode(channel, b"")).await
}

/// Waits for the process and for the last of its output.
async fn run_to_end(
    output: impl Future<Output = ()>,
    exit: impl Future<Output = Result<i32, String>>,
    sender: &mpsc::Sender<Message>,
) -> Outcome {
    tokio::pin!(output, exit);
    let mut output_done = false;
    let outcome = loop {
        tokio::select! {
            code = &mut exit => break match code {
                Ok(code) => Outcome::Exited(code),
                Err(reason) => Outcome::Failed(reason),
            },
            () = &mut output, if !output_done => output_done = true,
        }
    };
    while !output_done {
        tokio::select! {
            () = &mut output => output_done = true,
            () = tokio::time::sleep(DRAIN) => {
                // With a full queue it is the client that is slow, and the rest is still to come.
                if sender.capacity() == IN_FLIGHT {
                    break;
                }
            }
        }
    }
    outcome
}

/// Sends all that `reader` yields on `channel`.
async fn pump(reader: Option<Output>, channel: u8, protocol: Protocol, sender: mpsc::Sender<Message>) {
    let Some(mut reader) = reader else { return };
    let mut buffer = vec![0; BUFFER];
    // A terminal whose last process has gone answers EIO instead of an end of file: both end the stream.
    while let Ok(count @ 1..) = reader.read(&mut buffer).await {
        if sender.send(protocol.encode(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

async fn deliver(
    sink: &mut SplitSink<WebSocket, Message>,
    mut receiver: mpsc::Receiver<Message>,
) -> Result<(), axum::Error> {
    while let Some(message) = receiver.recv().await {
        sink.send(message).await?;
    }
    Ok(())
}

async fn farewell(mut sink: SplitSink<WebSocket, Message>) {
    let frame = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    // The client may have closed first: there is nobody left to tell then.
    let _ = sink.send(Message::Close(Some(frame))).await;
}

/// Feeds the client's messages to the process until the client has gone.
async fn accept_input(
    mut stream: SplitStream<WebSocket>,
    protocol: Protocol,
    mut stdin: Option<Input>,
    resize: Option<Resize>,
) -> ClientEnd {
    while let Some(Ok(message)) = stream.next().await {
        match protocol.decode(message) {
            Err(fault) => return ClientEnd::Fault(fault),
            Ok(Incoming::Data { channel: STDIN, bytes }) => {
                if let Some(writer) = stdin.as_mut()
                    && writer.write_all(&bytes).await.is_err()
                {
                    // The process closed its stdin or ended; its output and exit code still matter.
                    stdin = None;
                }
            }
            Ok(Incoming::Closed { channel: STDIN }) => {
                if let Some(mut writer) = stdin.take() {
                    let _ = writer.shutdown().await;
                }
            }
            Ok(Incoming::Data { channel: RESIZE, bytes }) => {
                if let (Some(resize), Ok(size)) = (&resize, serde_json::from_slice::<Size>(&bytes))
                    && let Err(error) = resize(size).await
                {
                    tracing::debug!(error, "cannot set the size of the terminal");
                }
            }
            Ok(Incoming::Data { .. } | Incoming::Closed { .. } | Incoming::Nothing) => {}
        }
    }
    ClientEnd::Gone
}
