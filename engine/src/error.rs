use std::path::PathBuf;
use std::time::Duration;

/// Why the engine did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No sandbox or container has that id or prefix.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// As the caller wrote it.
        id: String,
    },
    /// An id's beginning fits several.
    #[error("{kind} {id:?} is ambiguous: it begins the ids of {count}")]
    Ambiguous {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// As the caller wrote it.
        id: String,
        /// How many it fits.
        count: usize,
    },
    /// The name is taken.
    #[error("{kind} name {name:?} is in use by {id}")]
    NameInUse {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// Name, namespace, uid and attempt.
        name: String,
        /// Who has it.
        id: String,
    },
    /// The sandbox or container is not in the state that the call needs.
    #[error("{kind} {id} is {state}, cannot {action}")]
    WrongState {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// Which one.
        id: String,
        /// Its state.
        state: String,
        /// What was asked for.
        action: &'static str,
    },
    /// What the caller described makes no sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field of the specification.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The image is not on this node.
    #[error("image {0:?} is not present")]
    ImageNotPresent(String),
    /// The image does not know the user that a container is to run as.
    #[error("user or group {name:?} is not in {file} of the image")]
    UnknownUser {
        /// User or group name.
        name: String,
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// A command took longer than it was allowed to, and was killed.
    #[error("command did not end within {0:?} and was killed")]
    ExecTimeout(Duration),
    /// The program to run does not exist in the container or is not executable.
    #[error("{0}")]
    CommandNotFound(String),
    /// The shim ended while the call was under way.
    #[error("the shim of {0} ended meanwhile")]
    SandboxLost(String),
    /// The shim refused or does not answer.
    #[error(transparent)]
    Shim(#[from] crate::shim::ShimError),
    /// The store of images failed.
    #[error(transparent)]
    Image(#[from] reeve_image::Error),
    /// The sandbox's network failed.
    #[error(transparent)]
    Network(#[from] reeve_network::Error),
    /// The engine's own store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Another engine works on the directory.
    #[error("{path} is in use by another instance (process {pid}); give this one other directories")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as the file says.
        pid: String,
    },
    /// An operation on a path failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Parts of a removal failed; the rest of it was done.
    #[error("cleaning up {id}: {}", failures.join("; "))]
    Cleanup {
        /// Of what.
        id: String,
        /// What failed, each with its cause.
        failures: Vec<String>,
    },
}

/// A result of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names the path in errors of the file system.
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.into(), source })
    }
}

impl<T> IoContext<T> for nix::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(std::io::Error::from).at(action, path)
    }
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
