//! What the shim is to its pod before any container: keeper of its namespaces, and parent of its init.

mod init;
mod namespaces;

pub(crate) use init::PodInit;
pub(crate) use namespaces::enter;

/// A step of the pod's set-up that failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct PodError {
    step: String,
    source: std::io::Error,
}

impl PodError {
    pub(crate) fn new(step: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        PodError { step: step.into(), source: source.into() }
    }
}
