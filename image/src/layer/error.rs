//! Why a layer cannot be unpacked.

use std::io;
use std::sync::Arc;

use super::path::lossy;
use crate::error::is_disk_full;

/// A layer that cannot be unpacked. The layer itself is named by [`crate::Error::Layer`] around it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // the fields say what the message says
pub enum LayerError {
    /// The tar does not follow its format.
    #[error("malformed tar: {entry}: {reason}")]
    Malformed { entry: String, reason: String },
    /// The tar tries to write outside of its root.
    #[error("tar entry {entry} tries to leave the layer's root")]
    Escape { entry: String },
    /// The tar ends in the middle of an entry.
    #[error("tar ends in the middle of {entry}")]
    Truncated { entry: String },
    /// A bound against decompression bombs.
    #[error("layer is larger than the limit of {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    /// The compressed stream is broken.
    #[error("cannot decompress: {reason}")]
    Decompress { reason: String },
    /// The file system refuses an entry.
    #[error("cannot {action} {entry}: {source}")]
    Io { action: &'static str, entry: String, source: Arc<io::Error> },
    /// The stream was given up from the other end.
    #[error("the stream was given up")]
    Abandoned,
}

impl LayerError {
    pub(crate) fn malformed(entry: &[u8], reason: &str) -> LayerError {
        LayerError::Malformed { entry: lossy(entry), reason: reason.to_owned() }
    }

    pub(crate) fn io(action: &'static str, entry: &[u8], source: impl Into<io::Error>) -> LayerError {
        LayerError::Io { action, entry: lossy(entry), source: Arc::new(source.into()) }
    }

    /// Whether the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, LayerError::Io { source, .. } if is_disk_full(source))
    }

    /// What went wrong while reading the stream; its producer may have put a [`LayerError`] inside.
    pub(crate) fn reading(entry: &[u8], error: io::Error) -> LayerError {
        if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none() {
            return LayerError::Truncated { entry: lossy(entry) };
        }
        match error.downcast::<LayerError>() {
            Ok(inner) => inner,
            Err(error) => LayerError::Decompress { reason: error.to_string() },
        }
    }
}
