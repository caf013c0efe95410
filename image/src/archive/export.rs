//! Store to archive.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::error::at;
use crate::layer::Decoder;
use crate::manifest::{Descriptor, Index, OCI_INDEX};
use crate::pull::keys_of;
use crate::store::{Lease, Store, Stored, to_json};
use crate::{ArchiveFormat, Digest, Error};

const BUFFER: usize = 256 << 10;

/// An image to be exported: its names, or one of them, and its content.
pub(crate) struct Exported {
    names: Vec<String>,
    stored: Arc<Stored>,
    _lease: Lease,
}

impl Exported {
    /// By a name only that name is exported; by an id, all tags.
    pub(crate) fn find(store: &Store, text: &str) -> Result<Exported, Error> {
        let (names, stored) = {
            let state = store.state();
            let image = state.catalog.find(text)?;
            let names = match state.catalog.find_name(text) {
                Some((key, reference)) if reference.digest().is_none() => vec![key],
                _ => image.repo_tags.clone(),
            };
            let stored = state.catalog.stored().find(|stored| stored.digest == image.manifest).cloned();
            (names, stored.ok_or_else(|| Error::NotFound { name: text.to_owned() })?)
        };
        let lease = store.lease(keys_of(&stored));
        Ok(Exported { names, stored, _lease: lease })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

pub(crate) fn export(
    store: &Store,
    images: &[Exported],
    format: ArchiveFormat,
    out: &Path,
) -> Result<(), Error> {
    if out.exists() {
        return Err(Error::io("create", out, io::ErrorKind::AlreadyExists.into()));
    }
    let folder = out.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if format == ArchiveFormat::OciDir {
        let temporary = tempfile::tempdir_in(folder).map_err(at("create", folder))?;
        let mut sink = Sink::Folder(temporary.path().to_owned());
        oci_layout(store, images, &mut sink)?;
        return fs::rename(temporary.keep(), out).map_err(at("create", out));
    }
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(at("create", folder))?;
    let writer = BufWriter::with_capacity(BUFFER, temporary.as_file().try_clone().map_err(at("write", out))?);
    let mut sink = Sink::Tar { builder: Box::new(tar::Builder::new(writer)), path: out.to_owned() };
    match format {
        ArchiveFormat::DockerTar => docker_archive(store, images, &mut sink)?,
        _ => oci_layout(store, images, &mut sink)?,
    }
    sink.finish()?;
    temporary.as_file().sync_all().map_err(at("write", out))?;
    temporary.persist(out).map_err(|error| Error::io("write", out, error.error))?;
    Ok(())
}

fn oci_layout(store: &Store, images: &[Exported], sink: &mut Sink) -> Result<(), Error> {
    sink.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut written = HashSet::new();
    let mut manifests = Vec::new();
    for image in images {
        let stored = &image.stored;
        let documents = [&stored.digest, stored.id()];
        let layers = stored.manifest.layers.iter().map(|layer| &layer.digest);
        for digest in documents.into_iter().chain(layers) {
            if written.insert(digest.clone()) {
                let path = store.blob_path(digest);
                let file = store.open_blob(digest)?;
                let size = file.metadata().map_err(at("read", &path))?.len();
                sink.stream(&format!("blobs/{}/{}", digest.algorithm().name(), digest.hex()), size, file)?;
            }
        }
        let descriptor =
            Descriptor::new(stored.manifest.own_media_type(), stored.digest.clone(), stored.manifest_size);
        if image.names.is_empty() {
            manifests.push(descriptor.clone());
        }
        for name in &image.names {
            let mut named = descriptor.clone();
            for key in ["org.opencontainers.image.ref.name", "io.containerd.image.name"] {
                named.annotations.insert(key.to_owned(), name.clone());
            }
            manifests.push(named);
        }
    }
    let index = Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests };
    sink.bytes("index.json", &to_json(sink.path(), &index)?)
}

/// Layers are written as plain tars, named by their diff-ids: every version of `docker load` takes that.
fn docker_archive(store: &Store, images: &[Exported], sink: &mut Sink) -> Result<(), Error> {
    let mut written = HashSet::new();
    let mut entries = Vec::new();
    for image in images {
        let stored = &image.stored;
        let config = format!("{}.json", stored.id().hex());
        if written.insert(stored.id().clone()) {
            let path = store.blob_path(stored.id());
            let file = store.open_blob(stored.id())?;
            sink.stream(&config, file.metadata().map_err(at("read", &path))?.len(), file)?;
        }
        let mut layers = Vec::new();
        for ((layer, diff_id), chain_id) in
            stored.manifest.layers.iter().zip(&stored.diff_ids).zip(&stored.chain_ids)
        {
            let name = format!("{}/layer.tar", diff_id.hex());
            if written.insert(diff_id.clone()) {
                let path = store.blob_path(&layer.digest);
                let info = store.layer_info(chain_id).ok_or_else(|| missing(chain_id))?;
                let file = BufReader::with_capacity(BUFFER, store.open_blob(&layer.digest)?);
                let decoder = Decoder::new(file).map_err(at("read", &path))?;
                sink.stream(&name, info.tar_size, decoder)?;
            }
            layers.push(name);
        }
        entries.push(DockerImage { config, repo_tags: image.names.clone(), layers });
    }
    sink.bytes("manifest.json", &to_json(sink.path(), &entries)?)
}

fn missing(chain_id: &Digest) -> Error {
    Error::NotFound { name: format!("layer {chain_id}") }
}

/// Where an archive is written.
enum Sink {
    Folder(PathBuf),
    Tar { builder: Box<tar::Builder<BufWriter<File>>>, path: PathBuf },
}

impl Sink {
    fn path(&self) -> &Path {
        match self {
            Sink::Folder(path) | Sink::Tar { path, .. } => path,
        }
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stream(name, bytes.len() as u64, bytes)
    }

    fn stream(&mut self, name: &str, size: u64, mut content: impl Read) -> Result<(), Error> {
        let out = self.path().to_owned();
        let io = at("write", &out);
        match self {
            Sink::Folder(folder) => {
                let path = folder.join(name);
                let mut write = || -> io::Result<()> {
                    fs::create_dir_all(path.parent().unwrap_or(&path))?;
                    let mut file = File::create(&path)?;
                    io::copy(&mut content, &mut file)?;
                    file.sync_data()
                };
                write().map_err(io)
            }
            Sink::Tar { builder, .. } => {
                let mut header = tar::Header::new_ustar();
                header.set_size(size);
                header.set_mode(0o644);
                header.set_cksum();
                builder.append_data(&mut header, name, content.take(size)).map_err(io)
            }
        }
    }

    fn finish(self) -> Result<(), Error> {
        match self {
            Sink::Folder(_) => Ok(()),
            Sink::Tar { builder, path } => {
                let write = || builder.into_inner()?.flush();
                write().map_err(at("write", &path))
            }
        }
    }
}
