//! The relay with a real WebSocket client on one side and pipes in place of a process on the other.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::any;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::channel::Protocol;
use super::relay::relay;
use super::session::{Session, Size};

type Client = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// The process's side of a session.
struct Process {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    exit: oneshot::Sender<i32>,
    sizes: Arc<Mutex<Vec<Size>>>,
}

fn session() -> (Session, Process) {
    let (stdin, process_stdin) = duplex(1024);
    let (stdout, process_stdout) = duplex(1024);
    let (stderr, process_stderr) = duplex(1024);
    let (exit, exited) = oneshot::channel();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let session = Session {
        stdin: Some(Box::new(stdin)),
        stdout: Some(Box::new(stdout)),
        stderr: Some(Box::new(stderr)),
        resize: Some(Box::new(move |size| {
            seen.lock().unwrap().push(size);
            Box::pin(async { Ok(()) })
        })),
        exit: Box::pin(async move { exited.await.map_err(|_| "lost".to_owned()) }),
    };
    let process =
        Process { stdin: process_stdin, stdout: process_stdout, stderr: process_stderr, exit, sizes };
    (session, process)
}

/// Serves `session` to one client that speaks `protocol`.
async fn client(session: Session, protocol: &'static str) -> Client {
    let session = Arc::new(Mutex::new(Some(session)));
    let router = Router::new().route(
        "/",
        any(move |upgrade: WebSocketUpgrade| async move {
            let session = session.lock().unwrap().take().unwrap();
            upgrade
                .protocols([protocol])
                .on_upgrade(move |socket| relay(socket, Protocol::named(protocol).unwrap(), session))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    let (client, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], protocol);
    client
}

/// All that came on each of the channels until the server closed.
async fn everything(client: &mut Client) -> [Vec<u8>; 5] {
    let mut channels: [Vec<u8>; 5] = Default::default();
    while let Some(Ok(message)) = client.next().await {
        match message {
            Message::Binary(frame) => channels[usize::from(frame[0])].extend_from_slice(&frame[1..]),
            Message::Close(_) => break,
            _ => {}
        }
    }
    channels
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = vec![channel];
    frame.extend_from_slice(bytes);
    Message::Binary(frame.into())
}

#[tokio::test]
async fn input_comes_back_and_half_close_ends_it() {
    let (session, mut process) = session();
    let echo = tokio::spawn(async move {
        let mut input = Vec::new();
        process.stdin.read_to_end(&mut input).await.unwrap();
        process.stdout.write_all(&input).await.unwrap();
        process.exit.send(0).unwrap();
    });
    let mut client = client(session, "v5.channel.k8s.io").await;
    client.send(frame(0, b"hello ")).await.unwrap();
    client.send(frame(0, b"world")).await.unwrap();
    client.send(frame(255, &[0])).await.unwrap();

    let channels = everything(&mut client).await;
    echo.await.unwrap();
    assert_eq!(channels[1], b"hello world");
    let status: Value = serde_json::from_slice(&channels[3]).unwrap();
    assert_eq!(status["status"], "Success");
}

#[tokio::test]
async fn a_failure_tells_its_exit_code_after_all_output() {
    let (session, mut process) = session();
    let output = vec![b'x'; 100_000];
    let mut writer = process.stderr;
    let expected = output.clone();
    tokio::spawn(async move {
        process.exit.send(7).unwrap();
        process.stdout.shutdown().await.unwrap();
        writer.write_all(&output).await.unwrap();
    });
    let mut client = client(session, "v4.channel.k8s.io").await;

    let channels = everything(&mut client).await;
    assert!(channels[2] == expected, "{} bytes", channels[2].len());
    let status: Value = serde_json::from_slice(&channels[3]).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "7");
}

#[tokio::test]
async fn output_held_open_by_a_child_does_not_hold_the_client() {
    let (session, process) = session();
    process.exit.send(0).unwrap();
    let _held = process.stdout;
    let began = Instant::now();
    let mut client = client(session, "v4.channel.k8s.io").await;

    let channels = everything(&mut client).await;
    assert!(!channels[3].is_empty());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn the_terminal_follows_the_client() {
    let (session, process) = session();
    let mut client = client(session, "v4.channel.k8s.io").await;
    client.send(frame(4, br#"{"Width":132,"Height":43}"#)).await.unwrap();
    client.send(frame(4, b"nonsense")).await.unwrap();
    client.send(frame(0, b"\n")).await.unwrap();

    let mut byte = [0];
    let mut stdin = process.stdin;
    stdin.read_exact(&mut byte).await.unwrap();
    assert_eq!(*process.sizes.lock().unwrap(), [Size { width: 132, height: 43 }]);
}

#[tokio::test]
async fn a_client_that_goes_detaches() {
    let (session, mut process) = session();
    let mut client = client(session, "v5.channel.k8s.io").await;
    client.close(None).await.unwrap();

    let mut rest = Vec::new();
    process.stdin.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}
