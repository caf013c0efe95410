//! Unpacked layers: `layers/<chain id>/fs`, described by `layer.json` beside it.
//!
//! A layer gets its name by one rename when it is whole. That is safe against a killed process at once,
//! but against a power cut only when the file system has written everything: until a `syncfs` is through,
//! `layer.json` names the boot it was made in, and another boot does not believe it and unpacks again
//! from the blob, which was synced. So a pull does not wait for the disk twice.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, list_folder, make_folder};
use crate::error::at;
use crate::layer::remove_tree;
use crate::{Digest, Error};

const WORK: &str = ".work";
const EMPTY: &str = ".empty";
const INFO: &str = "layer.json";

/// What is known of an unpacked layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LayerInfo {
    pub(crate) chain_id: Digest,
    pub(crate) diff_id: Digest,
    /// Bytes of its tar, uncompressed: an export needs it before it writes.
    pub(crate) tar_size: u64,
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// The boot it was made in, until it is known to be on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
}

impl LayerInfo {
    pub(crate) fn new(
        chain_id: Digest,
        diff_id: Digest,
        tar_size: u64,
        bytes: u64,
        inodes: u64,
    ) -> LayerInfo {
        LayerInfo { chain_id, diff_id, tar_size, bytes, inodes, boot: boot_id() }
    }
}

/// Lists whole layers; removes the rest.
pub(super) fn open(layers: &Path) -> Result<HashMap<Digest, LayerInfo>, Error> {
    let work = layers.join(WORK);
    make_folder(&work)?;
    make_folder(&layers.join(EMPTY))?;
    fs::set_permissions(layers.join(EMPTY), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .map_err(at("set the mode of", &layers.join(EMPTY)))?;
    for (_, path, _) in list_folder(&work)? {
        remove_folder(&path, &work)?;
    }
    let boot = boot_id();
    let mut infos = HashMap::new();
    for (name, path, _) in list_folder(layers)? {
        if name.starts_with('.') {
            continue;
        }
        match read_info(&path) {
            Some(info) if info.chain_id.hex() == name && (info.boot.is_none() || info.boot == boot) => {
                infos.insert(info.chain_id.clone(), info);
            }
            _ => {
                tracing::info!(layer = %name, "removing a layer that may not have reached the disk");
                remove_folder(&path, &work)?;
            }
        }
    }
    Ok(infos)
}

fn read_info(path: &Path) -> Option<LayerInfo> {
    serde_json::from_slice(&fs::read(path.join(INFO)).ok()?).ok()
}

fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

impl Store {
    pub(crate) fn has_layer(&self, chain_id: &Digest) -> bool {
        self.state().has_layer(chain_id)
    }

    pub(crate) fn layer_info(&self, chain_id: &Digest) -> Option<LayerInfo> {
        self.state().layers.get(chain_id).cloned()
    }

    pub(crate) fn layers_root(&self) -> &Path {
        &self.layers
    }

    /// The folder overlayfs takes.
    pub(crate) fn layer_path(&self, chain_id: &Digest) -> PathBuf {
        // Without the algorithm: overlayfs' options take a colon for a separator.
        self.layers.join(chain_id.hex()).join("fs")
    }

    /// A lower layer for images that have none.
    pub(crate) fn empty_layer(&self) -> PathBuf {
        self.layers.join(EMPTY)
    }

    /// A folder to unpack a layer in.
    pub(crate) fn work_dir(&self) -> Result<WorkDir, Error> {
        let parent = self.layers.join(WORK);
        let path = tempfile::Builder::new()
            .prefix("layer-")
            .tempdir_in(&parent)
            .map_err(at("create a folder in", &parent))?
            .keep();
        let work = WorkDir { path, parent };
        for (name, mode) in [("fs", 0o755), ("trash", 0o700)] {
            let path = work.path.join(name);
            make_folder(&path)?;
            // Exactly this mode, whatever the umask.
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
                .map_err(at("set the mode of", &path))?;
        }
        Ok(work)
    }

    /// Makes a finished layer visible.
    pub(crate) fn commit_layer(&self, work: WorkDir, info: LayerInfo) -> Result<(), Error> {
        let trash = work.path.join("trash");
        fs::remove_dir(&trash).map_err(at("remove", &trash))?;
        write_info(&work.path, &info)?;
        let path = self.layers.join(info.chain_id.hex());
        let mut state = self.state();
        fs::rename(&work.path, &path).map_err(at("create", &path))?;
        std::mem::forget(work);
        state.layers.insert(info.chain_id.clone(), info);
        Ok(())
    }

    /// Takes a layer away; the caller removes the folder it gets, without the lock.
    pub(super) fn detach_layer(&self, info: &LayerInfo) -> Result<WorkDir, Error> {
        let from = self.layers.join(info.chain_id.hex());
        let parent = self.layers.join(WORK);
        let path = parent.join(format!("removed-{}", info.chain_id.hex()));
        fs::rename(&from, &path).map_err(at("remove", &from))?;
        Ok(WorkDir { path, parent })
    }

    /// Layers that a power cut could still damage; the returned work makes them safe. It needs no store.
    pub(crate) fn settle(&self) -> Option<Settle> {
        let mut state = self.state();
        let fresh: Vec<LayerInfo> = state
            .layers
            .values_mut()
            .filter(|info| info.boot.is_some())
            .map(|info| {
                info.boot = None;
                info.clone()
            })
            .collect();
        (!fresh.is_empty()).then(|| Settle { layers: self.layers.clone(), fresh })
    }
}

/// See [`Store::settle`].
pub(crate) struct Settle {
    layers: PathBuf,
    fresh: Vec<LayerInfo>,
}

impl Settle {
    pub(crate) fn run(self) {
        let synced = File::open(&self.layers).and_then(|folder| Ok(nix::unistd::syncfs(folder.as_fd())?));
        if let Err(error) = synced {
            tracing::warn!(%error, "layers are not synced; after a power cut they will be unpacked again");
            return;
        }
        for info in &self.fresh {
            let folder = self.layers.join(info.chain_id.hex());
            if folder.exists()
                && let Err(error) = write_info(&folder, info)
            {
                tracing::warn!(%error, "a synced layer is not marked as such");
            }
        }
    }
}

/// By rename, so that a reader finds the old text or the new.
fn write_info(folder: &Path, info: &LayerInfo) -> Result<(), Error> {
    let path = folder.join(INFO);
    let text = serde_json::to_vec(info)
        .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
    let next = folder.join("layer.json.new");
    fs::write(&next, text).map_err(at("write", &next))?;
    fs::rename(&next, &path).map_err(at("write", &path))
}

/// A folder below `.work`, removed with this value.
pub(crate) struct WorkDir {
    path: PathBuf,
    parent: PathBuf,
}

impl WorkDir {
    /// The folder that becomes the layer, and the one for what is replaced meanwhile.
    pub(crate) fn folders(&self) -> Result<(OwnedFd, OwnedFd), Error> {
        let open = |name| {
            let path = self.path.join(name);
            File::open(&path).map(OwnedFd::from).map_err(at("open", &path))
        };
        Ok((open("fs")?, open("trash")?))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.path, &self.parent) {
            tracing::warn!(%error, "left behind until the next start");
        }
    }
}

/// Removes `path`, by way of `trash`, whatever a tar made of it.
fn remove_folder(path: &Path, trash: &Path) -> Result<(), Error> {
    let removed = || {
        let folder = File::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = CString::new(path.file_name().unwrap_or_default().as_bytes())?;
        let trash = File::open(trash)?;
        remove_tree(folder.as_fd(), &name, trash.as_fd())
    };
    removed().map_err(at("remove", path))
}
