//! What is on disk. This module alone names paths; callers hand it streams, folders and digests.

mod blobs;
mod catalog;
mod collect;
mod layers;
mod lease;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::{Flock, FlockArg};

pub(crate) use blobs::{Ingest, Ingested};
pub(crate) use catalog::{Catalog, MAX_DOCUMENT, Stored, to_json};
pub(crate) use layers::{LayerInfo, WorkDir};
pub(crate) use lease::{Key, Lease};

use crate::error::at;
use crate::{Digest, Error, Usage};

/// The store of one root.
pub(crate) struct Store {
    content: PathBuf,
    layers: PathBuf,
    state: Arc<Mutex<State>>,
    /// Held for as long as the store is open; the kernel lets go of it with the process.
    _lock: Flock<File>,
}

/// Everything questions are answered from.
pub(crate) struct State {
    blobs: HashMap<Digest, u64>,
    layers: HashMap<Digest, LayerInfo>,
    leases: HashMap<Key, usize>,
    pub(crate) catalog: Catalog,
}

impl State {
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains_key(digest)
    }

    pub(crate) fn has_layer(&self, chain_id: &Digest) -> bool {
        self.layers.contains_key(chain_id)
    }
}

impl Store {
    /// Opens `root`, makes it where it is missing, and removes what a killed process left unfinished.
    pub(crate) fn open(root: &Path) -> Result<Store, Error> {
        let content = root.join("content");
        let layers = root.join("layers");
        for folder in [root, &content, &layers] {
            make_folder(folder)?;
        }
        let lock = lock(&content.join(".lock"))?;
        let layer_infos = layers::open(&layers)?;
        let blobs = blobs::open(&content)?;
        let state = State { blobs, layers: layer_infos, leases: HashMap::new(), catalog: Catalog::default() };
        let store = Store { content, layers, state: Arc::new(Mutex::new(state)), _lock: lock };
        let catalog = Catalog::load(&store)?;
        store.state().catalog = catalog;
        Ok(store)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock_state(&self.state)
    }

    /// Makes and keeps the names in `change`, on disk first.
    pub(crate) fn change_catalog<T>(
        &self,
        change: impl FnOnce(&mut Catalog) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state();
        let mut catalog = state.catalog.clone();
        let result = change(&mut catalog)?;
        catalog.save(&self.content)?;
        catalog.rebuild(&state.layers);
        state.catalog = catalog;
        Ok(result)
    }

    /// Images drawn from the names again, after layers came back.
    pub(crate) fn refresh_images(&self) {
        let mut state = self.state();
        let State { layers, catalog, .. } = &mut *state;
        catalog.rebuild(layers);
    }

    /// What is on disk, by the counters.
    pub(crate) fn usage(&self) -> Usage {
        let state = self.state();
        let blobs: u64 = state.blobs.values().sum();
        let layers: u64 = state.layers.values().map(|layer| layer.bytes).sum();
        let inodes: u64 = state.layers.values().map(|layer| layer.inodes + 2).sum();
        Usage { bytes: blobs + layers, inodes: inodes + state.blobs.len() as u64 }
    }
}

/// A panic of another thread leaves the maps whole: each change is one insertion or removal.
pub(crate) fn lock_state(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a folder for root alone: layers hold setuid files that no user of the host may reach.
fn make_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at("create", path))
}

fn lock(path: &Path) -> Result<Flock<File>, Error> {
    let file = File::options().create(true).append(true).open(path).map_err(at("open", path))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Locked { path: path.to_owned() },
        errno => Error::io("lock", path, errno.into()),
    })
}

/// Writes a small file so that it is there whole or not at all, also after a power cut.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(at("write", path))?;
    io::Write::write_all(&mut file, bytes).map_err(at("write", path))?;
    file.as_file().sync_data().map_err(at("write", path))?;
    file.persist(path).map_err(|error| Error::io("write", path, error.error))?;
    sync_folder(folder)
}

fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at("sync", path))
}

/// Names and sizes of what is in a folder.
fn list_folder(path: &Path) -> Result<Vec<(String, PathBuf, fs::Metadata)>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(at("list", path))? {
        let entry = entry.map_err(at("list", path))?;
        let metadata = entry.metadata().map_err(at("list", path))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), metadata));
    }
    Ok(entries)
}
