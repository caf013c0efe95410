//! Exec, passed on to a streaming server that speaks `v5.channel.k8s.io`.

use axum::Router;
use axum::extract::ws::{Message as Spoken, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use reeve_proto::cri;
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::fake::Fake;

const EXEC: &str = "/api/v1/namespaces/default/pods/web/exec?command=cat&command=-u&stdin=true";

/// A streaming server whose command is `cat`: it gives stdin back, and ends when stdin does.
async fn streaming() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route(
        "/exec/{token}",
        any(|upgrade: WebSocketUpgrade| async { upgrade.protocols(["v5.channel.k8s.io"]).on_upgrade(cat) }),
    );
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/exec/one-time")
}

async fn cat(mut socket: WebSocket) {
    while let Some(Ok(Spoken::Binary(message))) = socket.recv().await {
        let answer = match &message[..] {
            [0, text @ ..] => [&[1], text].concat(),
            [4, size @ ..] => [&[2], size].concat(),
            [255, 0] => br#"_{"status":"Success"}"#.to_vec(),
            _ => continue,
        };
        let ended = answer[0] == b'_';
        let answer = if ended { [&[3], &answer[1..]].concat() } else { answer };
        socket.send(Spoken::Binary(answer.into())).await.expect("sent");
        if ended {
            return;
        }
    }
}

async fn connect(fake: &Fake, path: &str) -> Result<WebSocketStream<UnixStream>, Error> {
    let stream = UnixStream::connect(fake.socket()).await.expect("connected");
    let mut request = format!("ws://localhost{path}").into_client_request().expect("a request");
    let protocols = HeaderValue::from_static("v5.channel.k8s.io, v4.channel.k8s.io");
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    Ok(socket)
}

fn web(state: serde_json::Value) -> serde_json::Value {
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"containers": [{"name": "a"}]},
        "status": {"containerStatuses": [{
            "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": "reeve://id0", "state": state,
        }]},
    })
}

#[tokio::test]
async fn passes_every_channel_on() {
    let fake = Fake::start().await;
    fake.apply(web(json!({"running": {}})));
    fake.answers("Exec", cri::ExecResponse { url: streaming().await });
    let mut socket = connect(&fake, EXEC).await.expect("connected");
    let mut say = async |bytes: &[u8]| {
        socket.send(Message::Binary(bytes.to_vec().into())).await.expect("sent");
        socket.next().await.expect("an answer").expect("no error").into_data().to_vec()
    };
    assert_eq!(say(b"\x00hello").await, b"\x01hello");
    let large = [&[0][..], &vec![b'x'; 1 << 20]].concat();
    assert_eq!(say(&large).await.len(), large.len());
    assert_eq!(say(br#"_{"Width":80}"#.map(|b| if b == b'_' { 4 } else { b }).as_slice()).await[0], 2);
    assert_eq!(say(&[255, 0]).await, b"\x03{\"status\":\"Success\"}");
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "{message:?}");
    }
}

#[tokio::test]
async fn refusals_are_told_before_the_upgrade() {
    let fake = Fake::start().await;
    let refusal = async |path: &str| match connect(&fake, path).await {
        Err(Error::Http(answer)) => {
            let body = answer.body().clone().unwrap_or_default();
            (answer.status(), String::from_utf8(body).expect("text"))
        }
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(refusal(EXEC).await.0, StatusCode::NOT_FOUND);
    fake.apply(web(json!({"terminated": {"exitCode": 0}})));
    let (status, text) = refusal(EXEC).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text.contains("container a of pod web is not running"), "{text}");
    fake.apply(web(json!({"running": {}})));
    let (status, _) = refusal("/api/v1/namespaces/default/pods/web/exec").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    fake.fails("Exec", tonic::Status::not_found("no such container"));
    assert_eq!(refusal(EXEC).await.0, StatusCode::NOT_FOUND);
    fake.answers("Exec", cri::ExecResponse { url: "http://127.0.0.1:1/exec/x".into() });
    let (status, text) = refusal(EXEC).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("cannot connect"), "{text}");
}
