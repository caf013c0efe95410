//! Content by digest: `content/blobs/<algorithm>/<hex>`, and `content/ingest/` for what is being written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempPath;

use super::{State, Store, list_folder, lock_state, make_folder, sync_folder};
use crate::digest::{Algorithm, Hasher};
use crate::error::at;
use crate::{Digest, Error};

/// How much is written before the kernel is told to start writing it back.
const WRITE_BACK: u64 = 8 << 20;

/// Lists what is there, and empties the ingest folder.
pub(super) fn open(content: &Path) -> Result<HashMap<Digest, u64>, Error> {
    let ingest = content.join("ingest");
    make_folder(&ingest)?;
    for (_, path, _) in list_folder(&ingest)? {
        fs::remove_file(&path).map_err(at("remove", &path))?;
    }
    let mut blobs = HashMap::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let folder = content.join("blobs").join(algorithm.name());
        make_folder(&folder)?;
        for (name, _, metadata) in list_folder(&folder)? {
            // What is no digest was not put there by this store, and is left alone.
            if let Ok(digest) = format!("{}:{name}", algorithm.name()).parse::<Digest>() {
                blobs.insert(digest, metadata.len());
            }
        }
    }
    Ok(blobs)
}

impl Store {
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.state().has_blob(digest)
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.content.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(at("open", &path))
    }

    /// A blob small enough for memory, verified.
    pub(crate) fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        self.open_blob(digest)?.take(limit).read_to_end(&mut bytes).map_err(at("read", &path))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::Damaged { path, reason: format!("its digest is {actual}") });
        }
        Ok(bytes)
    }

    /// For files that are not to outlive this process.
    pub(crate) fn ingest_folder(&self) -> PathBuf {
        self.content.join("ingest")
    }

    /// Begins a new blob.
    pub(crate) fn ingest(&self, algorithm: Algorithm) -> Result<Ingest, Error> {
        let folder = self.ingest_folder();
        let file = tempfile::NamedTempFile::new_in(&folder).map_err(at("write in", &folder))?;
        let (file, path) = file.into_parts();
        Ok(Ingest {
            file,
            path,
            hasher: Hasher::new(algorithm),
            written: 0,
            content: self.content.clone(),
            state: Arc::clone(&self.state),
        })
    }

    /// Keeps a small blob whose digest was checked.
    pub(crate) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.has_blob(digest) {
            return Ok(());
        }
        let mut ingest = self.ingest(digest.algorithm())?;
        ingest.write(bytes)?;
        ingest.finish()?.commit()
    }
}

/// A blob being written; nobody sees it, and dropping it leaves nothing.
pub(crate) struct Ingest {
    file: File,
    path: TempPath,
    hasher: Hasher,
    written: u64,
    content: PathBuf,
    state: Arc<Mutex<State>>,
}

/// A blob that is whole, and whose digest is known but not yet judged.
pub(crate) struct Ingested {
    ingest: Ingest,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Ingest {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(at("write", &self.path))?;
        self.hasher.update(bytes);
        let before = self.written;
        self.written += bytes.len() as u64;
        if before / WRITE_BACK != self.written / WRITE_BACK {
            start_write_back(&self.file, before / WRITE_BACK * WRITE_BACK);
        }
        Ok(())
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn finish(mut self) -> Result<Ingested, Error> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        Ok(Ingested { digest: hasher.finish(), size: self.written, ingest: self })
    }
}

impl Ingested {
    /// Gives the blob its name. The caller has checked the digest.
    pub(crate) fn commit(self) -> Result<(), Error> {
        let Ingested { ingest, digest, size } = self;
        ingest.file.sync_data().map_err(at("sync", &ingest.path))?;
        let folder = ingest.content.join("blobs").join(digest.algorithm().name());
        let path = folder.join(digest.hex());
        {
            // Under the lock: garbage collection must not see the file without its entry, or reversed.
            let mut state = lock_state(&ingest.state);
            let Ingest { path: temporary, .. } = ingest;
            temporary.persist(&path).map_err(|error| Error::io("write", &path, error.error))?;
            state.blobs.insert(digest, size);
        }
        sync_folder(&folder)
    }
}

/// Lets the disk work while the network does, so that the sync at the end finds little left.
fn start_write_back(file: &File, from: u64) {
    // SAFETY: the descriptor is open for the whole call, and no memory is passed.
    let result = unsafe {
        libc::sync_file_range(file.as_raw_fd(), from as i64, WRITE_BACK as i64, libc::SYNC_FILE_RANGE_WRITE)
    };
    if result != 0 {
        // Only a hint: the sync at the end decides.
        tracing::trace!(error = %io::Error::last_os_error(), "no early write-back");
    }
}
