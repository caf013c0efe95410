//! Images of a node: registry client, content store, layers, archives and garbage collection.
//!
//! [`Images`] is the one entrance. Below it:
//!
//! - [`Reference`], [`Digest`], [`Platform`]: names.
//! - `registry`: speaks the OCI distribution protocol to a registry and its mirrors (`certs.d`), with
//!   tokens, retries and resumption. It hands out byte streams and knows nothing of the disk.
//! - `layer`: one blob from its byte stream to a folder that overlayfs can take as a lower layer.
//! - `store`: what is on disk. It alone names paths; a blob or layer gets its name only when whole.
//! - `pull`: brings these together for a reference; `archive`: the same for files.
//!
//! Who owns which state: the store's catalogue (names to manifests) is one file, rewritten atomically
//! under one lock, and mirrored in memory, from where all questions are answered. Blobs and layers are
//! found by listing folders at [`Images::open`] and counted since. Leases live in memory only: they
//! keep what a pull or a caller uses from garbage collection, and a process that died uses nothing.
//!
//! On disk:
//! ```text
//! root/content/            an OCI image layout: oci-layout, index.json, blobs/<algorithm>/<hex>
//! root/content/ingest/     blobs being written; emptied at open
//! root/layers/<chain id>/  fs/ and layer.json
//! root/layers/.work/       layers being unpacked or removed; emptied at open
//! ```

mod archive;
mod auth;
mod config;
mod digest;
mod error;
mod fetch;
mod flight;
mod image;
mod images;
mod layer;
mod manifest;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod store;

pub use auth::Auth;
pub use config::{Config, Retry};
pub use digest::{Algorithm, Digest};
pub use error::{Error, Part, Place};
pub use image::{ArchiveFormat, Freed, Image, Lowers, Usage};
pub use images::Images;
pub use layer::LayerError;
pub use platform::Platform;
pub use progress::{LayerProgress, LayerState, Progress};
pub use reference::Reference;
