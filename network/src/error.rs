//! Everything that can go wrong here, in words that name the thing.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work.
    #[error("network setting {setting}: {reason}")]
    Setting {
        /// Name of the field of [`crate::Config`].
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An id that cannot be a file name.
    #[error("pod id {0:?} cannot name a network namespace: use letters, digits, '-', '_' and '.'")]
    Id(String),
    /// A port mapping that makes no sense.
    #[error("host port {mapping} of pod {id}: {reason}")]
    Mapping {
        /// The pod that asks for it.
        id: String,
        /// The mapping, as text.
        mapping: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host port belongs to another pod.
    #[error("host port {mapping} is taken by pod {holder}")]
    PortTaken {
        /// The mapping that was asked for, as text.
        mapping: String,
        /// The pod that has it.
        holder: String,
    },
    /// No address is left.
    #[error("no free address in {subnet}: all {size} are in use")]
    Exhausted {
        /// The subnet.
        subnet: String,
        /// How many addresses it has for pods.
        size: u64,
    },
    /// The subnet is that of somebody else's interface.
    #[error("subnet {subnet} overlaps {address} of interface {interface}, which is not ours")]
    Overlap {
        /// Our subnet.
        subnet: String,
        /// The other's address with its prefix.
        address: String,
        /// The other.
        interface: String,
    },
    /// The bridge's name belongs to an interface of another kind.
    #[error("interface {0} exists and is not a bridge")]
    NotABridge(String),
    /// Another process has this state directory.
    #[error("{0} is in use by another process")]
    Locked(PathBuf),
    /// The ledger was written under another subnet and still has pods in it.
    #[error(
        "{path}: {pods} pods still have addresses of {was}, so the subnet cannot become {now}: remove them first"
    )]
    SubnetChanged {
        /// The ledger.
        path: PathBuf,
        /// How many pods are left.
        pods: usize,
        /// The subnets then.
        was: String,
        /// The subnets now.
        now: String,
    },
    /// The ledger is not what this program wrote.
    #[error("{path}: not a ledger of addresses")]
    Ledger {
        /// The ledger.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A file operation failed.
    #[error("{verb} {path}")]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A system call that concerns no file failed.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel refused a netlink message.
    #[error("{what}{}", detail.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Kernel {
        /// The object and what was to be done with it.
        what: String,
        /// The kernel's own words (extended acknowledgement).
        detail: Option<String>,
        /// The error number.
        source: io::Error,
    },
    /// What came back from the kernel was not understood.
    #[error("unexpected netlink answer to: {0}")]
    Answer(String),
    /// An address of the wrong kind for this pod.
    #[error("pod {id} has no address of the kind of {ip}")]
    NoSuchFamily {
        /// The pod.
        id: String,
        /// The host address that was asked for.
        ip: IpAddr,
    },
    /// Several things failed while a pod was taken out; everything else was done.
    #[error("detach pod {id}: {}", list(errors))]
    Detach {
        /// The pod.
        id: String,
        /// What failed.
        errors: Vec<Error>,
    },
    /// Several pods could not be swept out.
    #[error("sweep: {}", list(.0))]
    Sweep(Vec<Error>),
    /// The thread that talks to the kernel has ended.
    #[error("the network is closed")]
    Closed,
}

/// An error with its cause.
pub(crate) fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Several errors, each with its cause.
fn list(errors: &[Error]) -> String {
    errors.iter().map(describe).collect::<Vec<_>>().join("; ")
}

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn file(verb: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File { verb, path: path.into(), source: source.into() }
    }

    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System { what: what.into(), source: source.into() }
    }

    /// The kernel's error number, where one is the cause.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { source, .. } | Self::System { source, .. } | Self::File { source, .. } => {
                source.raw_os_error()
            }
            _ => None,
        }
    }
}
