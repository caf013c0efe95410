//! What can go wrong, in words for the person who reads it.

use std::io;
use std::path::{Path, PathBuf};

use crate::container::Status;
use crate::seccomp;

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no state for this id.
    #[error("container does not exist: {id:?}")]
    NotFound {
        /// The id asked for.
        id: String,
    },
    /// The id is taken.
    #[error("container with given ID already exists: {id:?}")]
    AlreadyExists {
        /// The id asked for.
        id: String,
    },
    /// The id is empty or has characters that make no file name.
    #[error("invalid container ID format: {id:?}")]
    InvalidId {
        /// The id asked for.
        id: String,
    },
    /// The container's state does not allow the operation.
    #[error("{}", wrong_state(id, operation, *status))]
    WrongState {
        /// The container.
        id: String,
        /// What was asked of it.
        operation: &'static str,
        /// How it is.
        status: Status,
    },
    /// The program to run is not in the container or cannot be executed.
    #[error("exec: {command:?}: {fault}")]
    CommandNotFound {
        /// `process.args[0]`.
        command: String,
        /// What is wrong with it.
        fault: CommandFault,
    },
    /// The configuration is wrong, or asks for what this runtime does not do.
    #[error("config: {field}: {reason}")]
    Config {
        /// The field's path in config.json, such as `linux.namespaces[2].path`.
        field: String,
        /// Why it is refused.
        reason: String,
    },
    /// A file of the runtime or of the bundle.
    #[error("{action} {}: {source}", path.display())]
    File {
        /// What was attempted, as a verb: "open", "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A JSON document that does not parse.
    #[error("parse {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A step of the container's construction.
    #[error("{step}: {source}")]
    Setup {
        /// What was attempted, with the path or name that it concerns.
        step: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A hook that failed or took too long.
    #[error("error running {kind} hook {}: {reason}", path.display())]
    Hook {
        /// `prestart`, `createRuntime`…
        kind: String,
        /// The hook's program.
        path: PathBuf,
        /// Exit status, signal, time-out, and what it wrote to stderr.
        reason: String,
    },
    /// The container's cgroup.
    #[error("cgroup {}: {reason}", path.display())]
    Cgroup {
        /// The cgroup or a file of it.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// The kernel shows the process otherwise than it was to be; it was killed.
    #[error("the container's process was killed: its {what} is {found}, and should be {wanted}")]
    Mismatch {
        /// A namespace's file, `cgroup`, or a field of proc_pid_status(5).
        what: String,
        /// What was asked for.
        wanted: String,
        /// What the kernel says.
        found: String,
    },
    /// `linux.seccomp` cannot be compiled.
    #[error("config: linux.{0}")]
    Seccomp(#[from] seccomp::Error),
    /// The process died before it could say why.
    #[error("the process ended during {during}: {status}")]
    Died {
        /// Which part of its construction.
        during: &'static str,
        /// Its exit status or signal.
        status: String,
    },
}

/// What is wrong with the program that was to be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum CommandFault {
    /// A bare name that no directory of PATH has.
    #[error("executable file not found in $PATH")]
    NotInPath,
    /// A path that does not exist.
    #[error("stat {path}: no such file or directory")]
    NoSuchFile {
        /// The path.
        path: String,
    },
    /// It is there, and may not be executed by this user.
    #[error("permission denied")]
    NotExecutable,
    /// It is a directory or a special file.
    #[error("is a directory")]
    NotAFile,
    /// It is the runtime's own binary, reached over `/proc/self/exe`.
    #[error("refers to the runtime itself")]
    Runtime,
    /// execve(2) refused it.
    #[error("{reason}")]
    Exec {
        /// The kernel's answer, such as "exec format error".
        reason: String,
    },
}

/// runc's words, which engines look for.
fn wrong_state(id: &str, operation: &str, status: Status) -> String {
    match (operation, status) {
        ("start", Status::Stopped) => String::from("cannot start a container that has stopped"),
        ("start", Status::Running) => String::from("cannot start an already running container"),
        ("kill" | "update", _) => String::from("container not running"),
        ("delete", _) => format!("cannot delete container {id} that is not stopped: {status}"),
        ("exec", Status::Paused) => {
            String::from("cannot exec in a paused container (use --ignore-paused to override)")
        }
        ("exec", Status::Stopped) => String::from("cannot exec in a stopped container"),
        ("pause", _) => format!("container not running or created: {status}"),
        ("resume", _) => String::from("container not paused"),
        _ => format!("cannot {operation} a container in the {status} state"),
    }
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Error::File { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    pub(crate) fn config(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Config { field: field.into(), reason: reason.into() }
    }

    pub(crate) fn setup(step: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Error::Setup { step: step.into(), source: source.into() }
    }
}
