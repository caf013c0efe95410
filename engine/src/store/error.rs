use std::io;
use std::path::PathBuf;

/// Why the store of sandboxes and containers failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database in a file failed.
    #[error("database {path}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why. Boxed: redb's error is large.
        #[source]
        source: Box<redb::Error>,
    },
    /// A record was written by a newer program.
    #[error(
        "record {key} has format {version}, this program knows formats up to {known}: was a newer one here?"
    )]
    Version {
        /// The record.
        key: String,
        /// Its format.
        version: u8,
        /// The newest format that is understood.
        known: u8,
    },
    /// A record is not what any program of ours writes.
    #[error("record {key} is damaged")]
    Damaged {
        /// The record.
        key: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A record of a kind that this program does not know.
    #[error("record {0} is of an unknown kind: was a newer program here?")]
    Unknown(String),
    /// The transaction that a change was part of failed.
    #[error("{0}")]
    Batch(String),
    /// A thread of the store has ended, after a failure that was logged.
    #[error("the store is closed")]
    Closed,
}
