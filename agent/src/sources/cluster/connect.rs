//! The client, and how its requests fail.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::sources::Mailbox;

/// How long a request may take; watches have none.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long until a kubeconfig that cannot be used is read again.
const AGAIN: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot use kubeconfig {path}: {source}")]
    Kubeconfig { path: std::path::PathBuf, source: KubeconfigError },
    #[error("cannot make a client from kubeconfig {path}: {source}")]
    Client { path: std::path::PathBuf, source: Box<kube::Error> },
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// The API server's answer, or none.
    #[error("{0}")]
    Kube(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server has not answered within {} s", PATIENCE.as_secs())]
    Timeout,
}

impl RequestError {
    /// The HTTP status of a refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            RequestError::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the same request may succeed later: not when the API server has understood and refused it.
    pub(crate) fn is_passing(&self) -> bool {
        self.code().is_none_or(|code| code == 429 || code >= 500)
    }
}

/// Whether the object is not there (any more), or is another one of the same name.
pub(crate) fn is_gone<T>(outcome: &Result<T, RequestError>) -> bool {
    outcome.as_ref().is_err_and(|error| matches!(error.code(), Some(404 | 409)))
}

/// What is tried again and again: its failure is told once, and its recovery.
pub(super) struct Attempts {
    what: &'static str,
    failing: bool,
}

impl Attempts {
    /// Attempts to do `what`.
    pub(super) fn new(what: &'static str) -> Attempts {
        Attempts { what, failing: false }
    }

    /// Notes the outcome of one.
    pub(super) fn note(&mut self, outcome: Result<(), RequestError>) {
        let what = self.what;
        match (&outcome, self.failing) {
            (Err(error), false) => tracing::warn!("cannot {what}, and go on trying: {error}"),
            (Err(error), true) => tracing::debug!("cannot {what}: {error}"),
            (Ok(()), true) => tracing::info!("can {what} again"),
            (Ok(()), false) => {}
        }
        self.failing = outcome.is_err();
    }
}
/// Awaits an answer, but not for ever.
pub(crate) async fn request<T>(
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, RequestError> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| RequestError::Timeout)?.map_err(Into::into)
}

/// Makes the client; goes on trying, since the file may still have to come.
pub(super) async fn until_connected(kubeconfig: &Path, mailbox: &Mailbox) -> Client {
    loop {
        match connect(kubeconfig).await {
            Ok(client) => return client,
            Err(error) => {
                tracing::warn!("{error}");
                mailbox.error(Some(error.to_string()));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn connect(path: &Path) -> Result<Client, Error> {
    let wrong = |source| Error::Kubeconfig { path: path.to_owned(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)?;
    config.connect_timeout = Some(AGAIN);
    Client::try_from(config)
        .map_err(|source| Error::Client { path: path.to_owned(), source: Box::new(source) })
}
