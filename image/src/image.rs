//! What a caller learns about an image.

use std::path::PathBuf;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;

use crate::Digest;
use crate::store::Lease;

/// An image of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of its configuration.
    pub id: Digest,
    /// Digest of its manifest for this platform.
    pub manifest: Digest,
    /// Names with tags, in full: `docker.io/library/nginx:latest`.
    pub repo_tags: Vec<String>,
    /// Names with digests, in full; the digest is the one the registry knows (of the index, where there is one).
    pub repo_digests: Vec<String>,
    /// Bytes it takes on disk, blobs and unpacked layers; what it shares with others counts in each.
    pub size: u64,
    /// Its configuration: entry point, environment, user.
    pub config: Arc<ImageConfiguration>,
    /// Chain ids of its layers, base first; each names a folder below `layers/`.
    pub chain_ids: Vec<Digest>,
    /// Not to be removed by a caller that frees space.
    pub pinned: bool,
}

/// The read-only layers of an image. While this value lives, garbage collection leaves them alone.
#[derive(Debug)]
pub struct Lowers {
    /// Folders for overlayfs' `lowerdir`, top layer first; never empty.
    pub dirs: Vec<PathBuf>,
    pub(crate) _lease: Lease,
}

/// What garbage collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Bytes of blobs and layers.
    pub bytes: u64,
    /// Blobs removed.
    pub blobs: usize,
    /// Unpacked layers removed.
    pub layers: usize,
}

/// What the store takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of blobs and layers.
    pub bytes: u64,
    /// Files and folders of blobs and layers.
    pub inodes: u64,
}

/// The form of an exported archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// An OCI image layout in a folder.
    OciDir,
    /// An OCI image layout in a tar.
    OciTar,
    /// What `docker save` writes and `docker load` reads.
    DockerTar,
}
