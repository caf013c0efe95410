//! One layer: from a stream of bytes, possibly compressed and certainly not to be trusted, to a folder.
//!
//! `archive` reads the tar (with `header`, `pax`, `sparse`), `path` makes names safe, `unpack` applies
//! entries to a `tree`, `finish` does what needs the layers below, `stream` runs it all on threads.

mod archive;
mod attributes;
mod decompress;
mod error;
mod finish;
mod header;
mod path;
mod pax;
mod pipe;
mod remove;
mod sparse;
mod stream;
mod tree;
mod unpack;

pub use error::LayerError;

pub(crate) use archive::Archive;
pub(crate) use decompress::Decoder;
pub(crate) use header::Kind;
pub(crate) use path::TreePath;
pub(crate) use pipe::{PipeWriter, pipe};
pub(crate) use remove::remove_tree;
pub(crate) use stream::{Limits, Unpacked, start};
pub(crate) use unpack::Unpacker;
