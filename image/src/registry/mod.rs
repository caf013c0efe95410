//! The OCI distribution protocol, pulling side (distribution-spec, "Pull").
//!
//! Knows registries, not disks. For each reference the hosts of `certs.d` are tried in order; each
//! request is retried with growing, jittered pauses; a broken download goes on where it broke.

mod challenge;
mod client;
mod failure;
mod hosts;
mod request;
mod token;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::sync::mpsc;

use self::client::Clients;
use self::failure::{Again, Failure, Patience};
pub(crate) use self::hosts::Host;
use self::hosts::hosts_for;
use self::request::Session;
use self::token::{Grants, limited_body};
use crate::config::Config;
use crate::digest::{Algorithm, Hasher};
use crate::manifest::{ACCEPT, Descriptor};
use crate::progress::Counter;
use crate::{Auth, Digest, Error, Part, Place, Reference};

/// The distribution specification's bound for manifests.
const MAX_MANIFEST: usize = 4 << 20;

/// A client for all registries.
pub(crate) struct Registry {
    config: Config,
    clients: Clients,
    grants: Grants,
}

/// A reference with the hosts that serve it and the credentials for it.
pub(crate) struct Remote {
    pub(crate) reference: Reference,
    pub(crate) hosts: Vec<Host>,
    pub(crate) auth: Option<Auth>,
}

/// A manifest or index as it came.
pub(crate) struct Fetched {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) registry: String,
}

impl Remote {
    pub(crate) fn place(&self, registry: &str, part: Part) -> Place {
        Place { image: self.reference.to_string(), registry: registry.to_owned(), part }
    }

    /// Hosts that may tell what a tag means, or only hand out what has a digest.
    fn hosts_able(&self, resolve: bool) -> Vec<&Host> {
        self.hosts.iter().filter(|host| if resolve { host.can_resolve } else { host.can_pull }).collect()
    }

    pub(crate) fn pull_hosts(&self) -> Vec<&Host> {
        self.hosts_able(false)
    }
}

impl Registry {
    pub(crate) fn new(config: Config) -> Registry {
        Registry { config, clients: Clients::default(), grants: Grants::default() }
    }

    pub(crate) fn remote(&self, reference: Reference, auth: Option<Auth>) -> Result<Remote, Error> {
        let hosts = hosts_for(reference.domain(), &self.config.certs_dirs)?;
        Ok(Remote { reference, hosts, auth })
    }

    fn session<'a>(&'a self, remote: &'a Remote, host: &'a Host, part: Part) -> Result<Session<'a>, Error> {
        Ok(Session {
            client: self.clients.for_host(host)?,
            host,
            reference: &remote.reference,
            auth: remote.auth.as_ref(),
            grants: &self.grants,
            retry: &self.config.retry,
            place: remote.place(&host.name(), part),
        })
    }

    /// What a tag means now, without fetching it; `None` where no host says so. Never an error: the
    /// fetch that follows will tell.
    pub(crate) async fn resolve(&self, remote: &Remote, tag: &str) -> Option<Digest> {
        for host in remote.hosts_able(true) {
            let session = self.session(remote, host, Part::Manifest).ok()?;
            if let Ok(response) = session.send(Method::HEAD, &format!("manifests/{tag}"), &accept()).await {
                return content_digest(response.headers());
            }
        }
        None
    }

    /// Fetches a manifest or index; by digest it is verified.
    pub(crate) async fn manifest(&self, remote: &Remote, wanted: &str) -> Result<Fetched, Error> {
        let digest: Option<Digest> = wanted.parse().ok();
        let hosts = remote.hosts_able(digest.is_none());
        let mut last = None;
        for (index, host) in hosts.iter().enumerate() {
            let session = self.session(remote, host, Part::Manifest)?;
            let mut patience = Patience::new(&self.config.retry);
            let error = loop {
                match self.manifest_once(&session, wanted, digest.as_ref()).await {
                    Ok(fetched) => return Ok(fetched),
                    Err(failure) => {
                        if let Err(error) = patience.pause(failure, index + 1 < hosts.len()).await {
                            break error;
                        }
                    }
                }
            };
            if index + 1 < hosts.len() {
                tracing::info!(%error, "trying the next registry host");
            }
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| no_host(remote)))
    }

    async fn manifest_once(
        &self,
        session: &Session<'_>,
        wanted: &str,
        digest: Option<&Digest>,
    ) -> Result<Fetched, Failure> {
        let response = session.send(Method::GET, &format!("manifests/{wanted}"), &accept()).await?;
        let claimed = content_digest(response.headers());
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        let idle = self.config.retry.idle_timeout;
        let reading = limited_body(response, MAX_MANIFEST, &session.place);
        let bytes = match tokio::time::timeout(idle, reading).await {
            Ok(bytes) => bytes?,
            Err(_) => return Err(Failure::stalled(&session.place, idle)),
        };
        let expected = digest.or(claimed.as_ref());
        let mut hasher = Hasher::new(expected.map_or(Algorithm::Sha256, Digest::algorithm));
        hasher.update(&bytes);
        let actual = hasher.finish();
        match expected {
            Some(expected) if *expected != actual => Err(Error::WrongDigest {
                place: Box::new(session.place.clone()),
                expected: expected.clone(),
                actual,
            }
            .into()),
            _ => Ok(Fetched { bytes, media_type, digest: actual, registry: session.host.name() }),
        }
    }

    /// Sends a blob's bytes, in order and each once, to `sink`; the digest is the receiver's to check.
    pub(crate) async fn blob(
        &self,
        remote: &Remote,
        host: &Host,
        part: Part,
        descriptor: &Descriptor,
        sink: &mpsc::Sender<Bytes>,
        counter: &Counter,
    ) -> Result<(), Error> {
        let session = self.session(remote, host, part)?;
        let has_other_host = remote.pull_hosts().last().is_some_and(|last| last.base != host.base);
        let mut patience = Patience::new(&self.config.retry);
        let mut received = 0;
        loop {
            let before = received;
            let Err(failure) = self.blob_once(&session, descriptor, &mut received, sink, counter).await
            else {
                return Ok(());
            };
            if received > before {
                patience.progress();
            }
            patience.pause(failure, has_other_host && received == 0).await?;
        }
    }

    async fn blob_once(
        &self,
        session: &Session<'_>,
        descriptor: &Descriptor,
        received: &mut u64,
        sink: &mpsc::Sender<Bytes>,
        counter: &Counter,
    ) -> Result<(), Failure> {
        let place = || Box::new(session.place.clone());
        let mut headers = HeaderMap::new();
        if *received > 0 {
            let range = HeaderValue::try_from(format!("bytes={received}-"));
            headers.extend(range.ok().map(|range| (header::RANGE, range)));
        }
        let path = format!("blobs/{}", descriptor.digest);
        let mut response = session.send(Method::GET, &path, &headers).await?;
        // A server that knows no ranges starts anew; what is here already is passed over.
        let mut skip = *received;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            if range_start(response.headers()) != Some(*received) {
                let reason = "the registry answers with another range than it was asked for".to_owned();
                return Err(Error::Protocol { place: place(), reason }.into());
            }
            skip = 0;
        }
        let idle = self.config.retry.idle_timeout;
        loop {
            let mut chunk = match tokio::time::timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    let failure = Failure::transport(&error, &session.place);
                    return Err(Failure { again: Again::After(None), ..failure });
                }
                Err(_) => return Err(Failure::stalled(&session.place, idle)),
            };
            let pass_over = chunk.len().min(usize::try_from(skip).unwrap_or(usize::MAX));
            skip -= pass_over as u64;
            let chunk = chunk.split_off(pass_over);
            if chunk.is_empty() {
                continue;
            }
            *received += chunk.len() as u64;
            if *received > descriptor.size {
                return Err(Error::TooLong { place: place(), expected: descriptor.size }.into());
            }
            counter.set_downloaded(*received);
            if sink.send(chunk).await.is_err() {
                return Err(Error::Cancelled { what: session.place.to_string() }.into());
            }
        }
        if *received < descriptor.size {
            let error = Error::Truncated { place: place(), expected: descriptor.size, actual: *received };
            return Err(Failure { error, again: Again::After(None) });
        }
        Ok(())
    }
}

pub(crate) fn no_host(remote: &Remote) -> Error {
    Error::HostsFile {
        path: format!("{}/hosts.toml", remote.reference.domain()).into(),
        reason: "no host has the capabilities to pull".to_owned(),
    }
}

fn accept() -> HeaderMap {
    HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(ACCEPT))])
}

fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// `bytes 100-199/200` → 100
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
