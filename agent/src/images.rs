//! What can be done with images beyond CRI, where the store lives in the same process.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// An answer still to come; the error is a sentence for the user.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// How an archive is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveFormat {
    /// An OCI image layout in a tar.
    #[default]
    OciTar,
    /// An OCI image layout in a directory.
    OciDir,
    /// What `docker save` writes.
    DockerTar,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullProgress {
    /// Layers of the image; 0 until its manifest is known.
    pub layers: usize,
    /// Layers that are here, unpacked.
    pub ready: usize,
    /// Bytes of all layers as the registry holds them.
    pub size: u64,
    /// Bytes of them that are here.
    pub downloaded: u64,
}

/// The store of images of the embedding program. CRI has calls for none of these.
pub trait LocalImages: Send + Sync {
    /// Imports an OCI layout or archive at `path`, and returns the names of the images in it.
    fn import(&self, path: PathBuf) -> Answer<'_, Vec<String>>;

    /// Writes the images of these names into an archive at `out`.
    fn export(&self, references: Vec<String>, format: ArchiveFormat, out: PathBuf) -> Answer<'_, ()>;

    /// Pulls an image, telling how far it is, and returns its id.
    fn pull(&self, reference: String, progress: watch::Sender<PullProgress>) -> Answer<'_, String>;
}

impl fmt::Debug for dyn LocalImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalImages")
    }
}
