use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reeve_proto::cri;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{Bench, isolated};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(url: &str, protocol: &str) -> Result<Client, Error> {
    let mut request = url.replacen("http:", "ws:", 1).into_client_request()?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    connect_async(request).await.map(|(client, _)| client)
}

async fn exec(bench: &mut Bench, id: &str, script: &str, tty: bool) -> String {
    let request = cri::ExecRequest {
        container_id: id.to_owned(),
        cmd: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        tty,
        stdin: true,
        stdout: true,
        stderr: !tty,
    };
    bench.runtime.exec(request).await.unwrap().into_inner().url
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut frame = vec![channel];
    frame.extend_from_slice(bytes);
    Message::Binary(frame.into())
}

/// All that came on each channel until the server closed.
async fn everything(client: &mut Client) -> [Vec<u8>; 5] {
    let mut channels: [Vec<u8>; 5] = Default::default();
    let all = async {
        while let Some(Ok(message)) = client.next().await {
            if let Message::Binary(frame) = message {
                channels[usize::from(frame[0])].extend_from_slice(&frame[1..]);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the server does not close");
    channels
}

#[test]
fn a_command_talks_over_websocket() {
    isolated("streaming::a_command_talks_over_websocket", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "sleep 100").await;
        let url = exec(&mut bench, &id, "cat; echo bad >&2; exit 3", false).await;
        let mut client = connect(&url, "v5.channel.k8s.io").await.unwrap();
        client.send(frame(0, b"hello")).await.unwrap();
        client.send(frame(255, &[0])).await.unwrap();

        let channels = everything(&mut client).await;
        assert_eq!((channels[1].as_slice(), channels[2].as_slice()), (&b"hello"[..], &b"bad\n"[..]));
        let status: Value = serde_json::from_slice(&channels[3]).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "3");
        assert!(connect(&url, "v5.channel.k8s.io").await.is_err(), "a token works once");
    });
}

#[test]
fn a_terminal_has_the_size_of_the_client() {
    isolated("streaming::a_terminal_has_the_size_of_the_client", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "sleep 100").await;
        let url = exec(&mut bench, &id, "read go; stty size", true).await;
        let mut client = connect(&url, "v4.channel.k8s.io").await.unwrap();
        client.send(frame(4, br#"{"Width":132,"Height":43}"#)).await.unwrap();
        client.send(frame(0, b"go\n")).await.unwrap();
        let channels = everything(&mut client).await;
        let output = String::from_utf8_lossy(&channels[1]);
        assert!(output.contains("43 132"), "{output}");
    });
}

#[test]
fn a_client_attaches_to_a_running_container() {
    isolated("streaming::a_client_attaches_to_a_running_container", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        let mut config = bench.container_config("main", "while read line; do echo got $line; done; exit 2");
        config.stdin = true;
        config.stdin_once = true;
        let id = bench.create(&sandbox, config).await.unwrap();
        bench.start_container(&id).await.unwrap();
        let request =
            cri::AttachRequest { container_id: id.clone(), stdin: true, stdout: true, ..Default::default() };
        let url = bench.runtime.attach(request).await.unwrap().into_inner().url;
        let mut client = connect(&url, "v5.channel.k8s.io").await.unwrap();
        client.send(frame(0, b"one\n")).await.unwrap();
        client.send(frame(255, &[0])).await.unwrap();
        assert_eq!(everything(&mut client).await[1], b"got one\n");
        assert_eq!(bench.ended(&id).await.exit_code, 2);
    });
}

#[test]
fn a_port_is_forwarded_into_the_pod() {
    isolated("streaming::a_port_is_forwarded_into_the_pod", |mut bench| async move {
        let sandbox = bench.sandbox("web").await;
        bench.running(&sandbox, "main", "while :; do echo pong | nc -l -p 8000; done").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let request = cri::PortForwardRequest { pod_sandbox_id: sandbox, port: vec![8000] };
        let url = bench.runtime.port_forward(request).await.unwrap().into_inner().url;
        let mut client = connect(&url, "v4.channel.k8s.io").await.unwrap();
        let mut channels: [Vec<u8>; 2] = Default::default();
        while !channels[0].ends_with(b"pong\n") {
            let message = tokio::time::timeout(Duration::from_secs(10), client.next()).await;
            if let Message::Binary(frame) = message.expect("no answer").unwrap().unwrap() {
                channels[usize::from(frame[0])].extend_from_slice(&frame[1..]);
            }
        }
        assert_eq!(channels[0], [&8000_u16.to_le_bytes()[..], b"pong\n"].concat());
        assert_eq!(channels[1], 8000_u16.to_le_bytes());
    });
}

#[test]
fn spdy_is_refused_in_words() {
    isolated("streaming::spdy_is_refused_in_words", |mut bench| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let sandbox = bench.sandbox("web").await;
        let id = bench.running(&sandbox, "main", "sleep 100").await;
        let url = exec(&mut bench, &id, "true", false).await;
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut connection = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, close\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let count = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 501") && answer.contains("WebSocket"), "{answer}");
        // The token is not spent by it.
        assert!(connect(&url, "v5.channel.k8s.io").await.is_ok());
    });
}
