//! A registry on loopback that does what it is told, also wrongly.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use bytes::Bytes;
use futures::StreamExt;
use reeve_image::Digest;

use super::images::TestImage;

/// What to do instead of answering well.
#[derive(Clone, Debug)]
pub enum Fault {
    Status(u16),
    RetryAfter(u16, u64),
    /// The connection breaks after so many bytes of the body.
    Break(usize),
    /// The body ends cleanly after so many bytes.
    EndEarly(usize),
    /// Nothing more comes after so many bytes.
    Stall(usize),
    /// Not even headers come.
    Hang,
    /// One byte is another one.
    Corrupt,
    /// More bytes than there should be.
    TooLong,
    Redirect(String),
    /// Answers a range request with the whole.
    IgnoreRange,
    /// The wait before each chunk.
    Slow(Duration),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    Open,
    Basic(String, String),
    /// Bearer tokens from `/token`, for this user, or for all where there is none.
    Bearer(Option<(String, String)>),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Default)]
struct Inner {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    faults: Vec<(String, Fault, usize)>,
    seen: Vec<Seen>,
    tokens: usize,
    token_life: u64,
    valid_tokens: Vec<String>,
}

#[derive(Clone)]
pub struct Registry {
    pub address: SocketAddr,
    access: Access,
    inner: Arc<Mutex<Inner>>,
}

pub async fn start(access: Access) -> Registry {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(listener, address, access)
}

/// By https, with the certificate in `tls/`; with `client`, only for callers that show one of that authority.
pub async fn start_tls(access: Access, client: bool) -> Registry {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    serve(TlsListener { tcp, acceptor: acceptor(client) }, address, access)
}

fn serve<L>(listener: L, address: SocketAddr, access: Access) -> Registry
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let inner = Inner { token_life: 300, ..Inner::default() };
    let registry = Registry { address, access, inner: Arc::new(Mutex::new(inner)) };
    let router = Router::new().fallback(answer).with_state(registry.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    registry
}

pub fn tls_file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/tls").join(name)
}

fn acceptor(client: bool) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = |name| CertificateDer::from_pem_file(tls_file(name)).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).unwrap();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = if client {
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let config = builder.with_single_cert(vec![certificate("server.pem")], key).unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

struct TlsListener {
    tcp: tokio::net::TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // A caller that does not trust us goes away in the handshake.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Registry {
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn push(&self, repository: &str, tag: &str, image: &TestImage) -> String {
        for blob in image.blobs() {
            self.blob(blob);
        }
        self.manifest(repository, tag, &image.media_type, &image.manifest);
        self.name(&format!("{repository}:{tag}"))
    }

    pub fn blob(&self, bytes: &[u8]) {
        self.inner.lock().unwrap().blobs.insert(Digest::of(bytes).to_string(), bytes.to_vec());
    }

    pub fn manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let mut inner = self.inner.lock().unwrap();
        for reference in [tag.to_owned(), Digest::of(bytes).to_string()] {
            inner
                .manifests
                .insert(format!("{repository}/{reference}"), (media_type.to_owned(), bytes.to_vec()));
        }
    }

    /// The next `times` requests whose path contains `path` meet `fault`.
    pub fn fault(&self, path: &str, fault: Fault, times: usize) {
        self.inner.lock().unwrap().faults.push((path.to_owned(), fault, times));
    }

    pub fn token_life(&self, seconds: u64) {
        self.inner.lock().unwrap().token_life = seconds;
    }

    /// As if all tokens had expired.
    pub fn revoke_tokens(&self) {
        self.inner.lock().unwrap().valid_tokens.clear();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.lock().unwrap().seen.clone()
    }

    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.contains(path)).count()
    }

    fn take_fault(&self, path: &str) -> Option<Fault> {
        let mut inner = self.inner.lock().unwrap();
        let fault =
            inner.faults.iter_mut().find(|(part, _, times)| *times > 0 && path.contains(part.as_str()))?;
        fault.2 -= 1;
        Some(fault.1.clone())
    }

    fn is_allowed(&self, authorization: Option<&str>) -> bool {
        match &self.access {
            Access::Open => true,
            Access::Basic(user, password) => authorization == Some(&basic(user, password)),
            Access::Bearer(_) => {
                let inner = self.inner.lock().unwrap();
                inner.valid_tokens.iter().any(|token| authorization == Some(&format!("Bearer {token}")))
            }
        }
    }

    fn challenge(&self) -> String {
        match &self.access {
            Access::Bearer(_) => {
                format!("Bearer realm=\"http://{}/token\",service=\"registry.test\"", self.address)
            }
            _ => "Basic realm=\"registry\"".to_owned(),
        }
    }

    fn token(&self, seen: &Seen) -> Response<Body> {
        let Access::Bearer(user) = &self.access else { return status(404) };
        let good = match user {
            None => true,
            Some((user, password)) if user == "identity" => {
                seen.method == "POST" && seen.body.contains(&format!("refresh_token={password}"))
            }
            Some((user, password)) => seen.authorization.as_deref() == Some(&basic(user, password)),
        };
        if !good {
            return status(401);
        }
        let mut inner = self.inner.lock().unwrap();
        inner.tokens += 1;
        let token = format!("token-{}", inner.tokens);
        inner.valid_tokens.push(token.clone());
        let body = serde_json::json!({"token": token, "expires_in": inner.token_life});
        Response::new(Body::from(body.to_string()))
    }
}

pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {text}")
}

fn status(code: u16) -> Response<Body> {
    let body = r#"{"errors":[{"code":"TEST","message":"as told"}]}"#;
    Response::builder().status(code).body(Body::from(body)).unwrap()
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let text = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: text(header::AUTHORIZATION),
        range: text(header::RANGE),
        headers: parts.headers.clone(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    registry.inner.lock().unwrap().seen.push(seen.clone());
    let fault = registry.take_fault(&seen.path);
    match &fault {
        Some(Fault::Status(code)) => return status(*code),
        Some(Fault::RetryAfter(code, seconds)) => {
            let mut response = status(*code);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.to_string().parse().unwrap());
            return response;
        }
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Redirect(to)) => {
            return Response::builder().status(307).header(header::LOCATION, to).body(Body::empty()).unwrap();
        }
        _ => {}
    }
    if seen.path == "/token" {
        return registry.token(&seen);
    }
    if !registry.is_allowed(seen.authorization.as_deref()) {
        let mut response = status(401);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, registry.challenge().parse().unwrap());
        return response;
    }
    let path = seen.path.strip_prefix("/v2/").unwrap_or(&seen.path);
    if let Some((repository, reference)) = path.split_once("/manifests/") {
        let found =
            registry.inner.lock().unwrap().manifests.get(&format!("{repository}/{reference}")).cloned();
        let Some((media_type, bytes)) = found else { return status(404) };
        let response = Response::builder()
            .header(header::CONTENT_TYPE, media_type)
            .header("docker-content-digest", Digest::of(&bytes).to_string());
        let bytes = if matches!(fault, Some(Fault::Corrupt)) { corrupt(bytes) } else { bytes };
        return response.body(Body::from(bytes)).unwrap();
    }
    if let Some((_, digest)) = path.split_once("/blobs/") {
        let found = registry.inner.lock().unwrap().blobs.get(digest).cloned();
        return match found {
            Some(bytes) => blob(bytes, seen.range.as_deref(), fault),
            None => status(404),
        };
    }
    status(404)
}

fn corrupt(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

fn blob(mut bytes: Vec<u8>, range: Option<&str>, fault: Option<Fault>) -> Response<Body> {
    let total = bytes.len();
    let mut response = Response::builder();
    let start =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    if let (Some(start), false) = (start, matches!(fault, Some(Fault::IgnoreRange))) {
        bytes.drain(..start);
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{}/{total}", total - 1));
    }
    let length = bytes.len();
    let chunks = |bytes: Vec<u8>| -> Vec<Result<Bytes, std::io::Error>> {
        bytes.chunks(4096).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect()
    };
    match fault {
        Some(Fault::Corrupt) => response.body(Body::from(corrupt(bytes))).unwrap(),
        Some(Fault::TooLong) => {
            bytes.extend([0; 100]);
            response.body(Body::from(bytes)).unwrap()
        }
        Some(Fault::EndEarly(at)) => {
            bytes.truncate(at);
            response.body(Body::from_stream(futures::stream::iter(chunks(bytes)))).unwrap()
        }
        Some(Fault::Break(at)) => {
            bytes.truncate(at);
            let mut parts = chunks(bytes);
            parts.push(Err(std::io::Error::other("broken")));
            // Yielding between chunks lets them out before the connection goes.
            let stream = futures::stream::iter(parts).then(|part| async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                part
            });
            response.header(header::CONTENT_LENGTH, length).body(Body::from_stream(stream)).unwrap()
        }
        Some(Fault::Stall(at)) => {
            bytes.truncate(at);
            let stream = futures::stream::iter(chunks(bytes)).chain(futures::stream::pending());
            response.header(header::CONTENT_LENGTH, length).body(Body::from_stream(stream)).unwrap()
        }
        Some(Fault::Slow(wait)) => {
            let stream = futures::stream::iter(bytes).chunks(4096).then(move |part| async move {
                tokio::time::sleep(wait).await;
                Ok::<_, Infallible>(Bytes::from(part))
            });
            response.header(header::CONTENT_LENGTH, length).body(Body::from_stream(stream)).unwrap()
        }
        _ => response.body(Body::from(bytes)).unwrap(),
    }
}
