//! Exit records: one file for each container that ended, which tells its end even when the shim is gone.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use prost::Message;
use reeve_proto::shim::Exit;

/// An exit record that could not be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("exit record {path}")]
pub(crate) struct ExitsError {
    path: PathBuf,
    source: io::Error,
}

/// The folder `exits/` of the shim's directory.
#[derive(Debug)]
pub(crate) struct Exits {
    folder: PathBuf,
}

impl Exits {
    /// Makes the folder below `dir` when it is missing.
    pub(crate) fn open(dir: &Path) -> Result<Self, ExitsError> {
        let folder = dir.join("exits");
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                Err(ExitsError { path: folder, source })
            }
            _ => Ok(Exits { folder }),
        }
    }

    /// Writes the record, whole or not at all. It need not outlive a power cut: nor do the processes.
    pub(crate) fn write(&self, exit: &Exit) -> Result<(), ExitsError> {
        let path = self.folder.join(&exit.container_id);
        let written = self.folder.join(format!(".{}", exit.container_id));
        File::create(&written)
            .and_then(|mut file| file.write_all(&exit.encode_to_vec()))
            .and_then(|()| fs::rename(&written, &path))
            .map_err(|source| ExitsError { path, source })
    }

    /// Removes the record of a deleted container; one that is not there is fine.
    pub(crate) fn remove(&self, container_id: &str) -> Result<(), ExitsError> {
        let path = self.folder.join(container_id);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ExitsError { path, source }),
            _ => Ok(()),
        }
    }
}
