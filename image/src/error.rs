//! What can go wrong with images, in words that name image, blob, registry and path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Digest, LayerError};

/// Where a pull or an import went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The image's reference, or the archive's path.
    pub image: String,
    /// The registry's host as it was asked (a mirror, maybe); empty for an archive.
    pub registry: String,
    /// What was being fetched or unpacked.
    pub part: Part,
}

/// A part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The manifest or index.
    Manifest,
    /// The configuration, by digest.
    Config(Digest),
    /// A layer, by digest.
    Layer(Digest),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Manifest => write!(f, "manifest of {}", self.image)?,
            Part::Config(digest) => write!(f, "configuration {digest} of {}", self.image)?,
            Part::Layer(digest) => write!(f, "layer {digest} of {}", self.image)?,
        }
        if !self.registry.is_empty() {
            write!(f, " from registry {}", self.registry)?;
        }
        Ok(())
    }
}

/// Every failure of this crate. Cheap to clone: callers that share one pull share its error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields say what the message says
pub enum Error {
    /// A reference that Docker's grammar does not allow.
    #[error("invalid image reference {reference:?}: {reason}")]
    InvalidReference { reference: String, reason: &'static str },
    /// A digest of unknown algorithm or wrong length.
    #[error("invalid digest {digest:?}: want sha256: and 64 lower-case hexadecimal digits")]
    InvalidDigest { digest: String },
    /// The store has no such image.
    #[error("no such image: {name}")]
    NotFound { name: String },
    /// Several images have ids that start so.
    #[error("image id {prefix} is ambiguous: {count} images start with it")]
    Ambiguous { prefix: String, count: usize },
    /// Another process works on this root.
    #[error("image store {} is in use by another process", path.display())]
    Locked { path: PathBuf },
    /// A file or directory of the store cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// The file system of the store is full; what was begun has been removed again.
    #[error("no space left on the file system of {}: free some space or remove unused images", path.display())]
    DiskFull { path: PathBuf },
    /// The store holds something that it could not have written itself.
    #[error("image store is damaged: {}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// A `hosts.toml` that cannot be understood.
    #[error("{}: {reason}", path.display())]
    HostsFile { path: PathBuf, reason: String },
    /// Credentials that cannot be understood.
    #[error("invalid registry credentials: {reason}")]
    InvalidAuth { reason: &'static str },
    /// The registry wants other credentials, or some at all.
    #[error("{place}: access denied ({detail})")]
    Unauthorized { place: Box<Place>, detail: String },
    /// The registry does not have it.
    #[error("{place}: not found")]
    NotInRegistry { place: Box<Place> },
    /// The registry answers with a status that is no success.
    #[error("{place}: registry answers {status}{detail}")]
    Status { place: Box<Place>, status: u16, detail: String },
    /// No connection, or one that broke.
    #[error("{place}: {reason}")]
    Transport { place: Box<Place>, reason: String },
    /// Nothing came for too long.
    #[error("{place}: registry stalls: nothing came for {seconds} s")]
    Stalled { place: Box<Place>, seconds: f64 },
    /// The registry speaks otherwise than the distribution specification says.
    #[error("{place}: {reason}")]
    Protocol { place: Box<Place>, reason: String },
    /// The blob ended early, also after resuming.
    #[error("{place}: truncated: expected {expected} bytes, got {actual}")]
    Truncated { place: Box<Place>, expected: u64, actual: u64 },
    /// The blob is longer than its descriptor says.
    #[error("{place}: longer than the {expected} bytes its descriptor says")]
    TooLong { place: Box<Place>, expected: u64 },
    /// The bytes are not what their name says.
    #[error("{place}: wrong digest: expected {expected}, actual {actual}")]
    WrongDigest { place: Box<Place>, expected: Digest, actual: Digest },
    /// The unpacked bytes are not what the configuration says.
    #[error("{place}: wrong diff-id: expected {expected}, actual {actual}")]
    WrongDiffId { place: Box<Place>, expected: Digest, actual: Digest },
    /// A media type that is no image's.
    #[error("{place}: unknown media type {media_type:?}")]
    UnknownMediaType { place: Box<Place>, media_type: String },
    /// A manifest, index or configuration that makes no sense.
    #[error("{place}: {reason}")]
    InvalidDocument { place: Box<Place>, reason: String },
    /// The index has nothing for this machine.
    #[error("{place}: no image for platform {wanted}, only for {offered}")]
    NoPlatform { place: Box<Place>, wanted: String, offered: String },
    /// A layer cannot be unpacked.
    #[error("{place}: {source}")]
    Layer { place: Box<Place>, source: LayerError },
    /// An archive that is neither an OCI layout nor a docker-archive.
    #[error("cannot import {}: {reason}", path.display())]
    Archive { path: PathBuf, reason: String },
    /// The work was given up: its caller went away, or the store is closing.
    #[error("{what} was cancelled")]
    Cancelled { what: String },
}

impl Error {
    /// An error of the store at `path`; a full disk becomes [`Error::DiskFull`].
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        let path = path.as_ref().to_owned();
        if is_disk_full(&source) {
            return Error::DiskFull { path };
        }
        Error::Io { action, path, source: Arc::new(source) }
    }

    /// Whether another registry host may do better: everything but local trouble.
    pub(crate) fn is_remote(&self) -> bool {
        !matches!(
            self,
            Error::Io { .. }
                | Error::DiskFull { .. }
                | Error::Damaged { .. }
                | Error::Cancelled { .. }
                | Error::Layer { source: LayerError::Io { .. }, .. }
        )
    }
}

/// `ENOSPC` and `EDQUOT` mean the same to a user.
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// `map_err(at("open", path))`
pub(crate) fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::io(action, path, source)
}
