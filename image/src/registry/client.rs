//! HTTP clients, one for each way of trusting a host; connections are shared by all pulls.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::hosts::{Host, Tls};
use crate::Error;

const MAX_CLIENTS: usize = 32;
const USER_AGENT: &str = concat!("reeve/", env!("CARGO_PKG_VERSION"));

#[derive(PartialEq, Eq, Hash)]
struct Kind {
    tls: Tls,
    is_local: bool,
    dial_timeout: Duration,
}

/// All clients made so far.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<Kind, reqwest::Client>>);

impl Clients {
    pub(super) fn for_host(&self, host: &Host) -> Result<reqwest::Client, Error> {
        let kind = Kind { tls: host.tls.clone(), is_local: host.is_local(), dial_timeout: host.dial_timeout };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = build(&kind)?;
        // Renewed certificates leave their predecessors' clients behind.
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(kind, client.clone());
        Ok(client)
    }
}

fn build(kind: &Kind) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls_config(&kind.tls)?)
        // Followed by hand, so that credentials stay with the host they are for.
        .redirect(Policy::none())
        .connect_timeout(kind.dial_timeout)
        // Layers each have a connection of their own: HTTP/2 would put them all on one.
        .http1_only()
        .pool_idle_timeout(Duration::from_secs(30));
    if kind.is_local {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::HostsFile {
        path: kind.tls.ca.first().map(|(path, _)| path.clone()).unwrap_or_default(),
        reason: error.to_string(),
    })
}

fn tls_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let wrong = |path: &Path, reason: String| Error::HostsFile { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    if !tls.skip_verify {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
    }
    for (path, _) in &tls.ca {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| wrong(path, error.to_string()))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(Path::new("TLS"), error.to_string()))?;
    let builder = if tls.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    match tls.client.first() {
        None => Ok(builder.with_no_client_auth()),
        Some((path, key, _)) => {
            let key_path = key.as_deref().unwrap_or(path);
            let key =
                PrivateKeyDer::from_pem_file(key_path).map_err(|error| wrong(key_path, error.to_string()))?;
            builder
                .with_client_auth_cert(certificates(path)?, key)
                .map_err(|error| wrong(path, error.to_string()))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason: String| Error::HostsFile { path: path.to_owned(), reason };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("no certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// What `skip_verify = true` asks for: any certificate will do. Content is verified by digest all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
