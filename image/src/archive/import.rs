//! Archive to store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::source::Source;
use crate::digest::Algorithm;
use crate::error::at;
use crate::manifest::{
    Descriptor, Document, Index, MAX_INDEX_DEPTH, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use crate::progress::{Counter, Counters};
use crate::pull::{Puller, blocking, keys_of};
use crate::store::{Key, Lease, MAX_DOCUMENT, Store, Stored, to_json};
use crate::{Digest, Error, Image, Part, Place, Platform, Reference};

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const OCI_NAME: &str = "org.opencontainers.image.ref.name";
const CHUNK: usize = 256 << 10;

/// An image whose blobs are in the store, and that is to be unpacked and named.
struct Imported {
    names: Vec<Reference>,
    target: Descriptor,
    stored: Arc<Stored>,
    _lease: Lease,
}

/// An entry of docker-archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub(crate) async fn import(puller: &Arc<Puller>, path: &Path) -> Result<Vec<Image>, Error> {
    let (store, platform, from) = (Arc::clone(&puller.store), puller.platform().clone(), path.to_owned());
    let imported = blocking("the import", move || read(&store, &platform, &from)).await?;
    let mut images = Vec::new();
    for image in imported {
        let counter = |layer: &Descriptor| (layer.digest.clone(), layer.size, Arc::new(Counter::default()));
        let counters = Counters(image.stored.manifest.layers.iter().map(counter).collect());
        puller.layers(&image.stored, None, &counters, &path.display().to_string()).await?;
        images.push(puller.record(image.names, image.target, image.stored).await?);
    }
    Ok(images)
}

fn read(store: &Store, platform: &Platform, path: &Path) -> Result<Vec<Imported>, Error> {
    let source = Source::open(path, || store.scratch())?;
    let reader = Reader { store, platform, source: &source, path: path.to_owned() };
    let docker = source.read("manifest.json", MAX_DOCUMENT)?;
    let oci = source.read("index.json", MAX_DOCUMENT)?;
    match (oci, docker) {
        // Newer docker-archives are both; the layout keeps digests, if only it names its images.
        (Some(index), Some(manifest)) if !has_names(&index) => reader.docker_archive(&manifest),
        (Some(index), _) => reader.oci_layout(&index),
        (None, Some(manifest)) => reader.docker_archive(&manifest),
        (None, None) => {
            Err(source.wrong("neither an OCI layout (index.json) nor a docker-archive (manifest.json)"))
        }
    }
}

fn has_names(index: &[u8]) -> bool {
    let named = |entry: &Descriptor| {
        [CONTAINERD_NAME, OCI_NAME].iter().any(|key| entry.annotations.contains_key(*key))
    };
    serde_json::from_slice(index).is_ok_and(|index: Index| index.manifests.iter().any(named))
}

struct Reader<'a> {
    store: &'a Store,
    platform: &'a Platform,
    source: &'a Source,
    path: PathBuf,
}

impl Reader<'_> {
    fn place(&self, part: Part) -> Place {
        Place { image: self.path.display().to_string(), registry: String::new(), part }
    }

    fn oci_layout(&self, index: &[u8]) -> Result<Vec<Imported>, Error> {
        let index: Index = serde_json::from_slice(index)
            .map_err(|error| self.source.wrong(format!("index.json: {error}")))?;
        let mut images: Vec<Imported> = Vec::new();
        for entry in &index.manifests {
            let fits = entry.platform.as_ref().is_none_or(|offered| self.platform.rank(offered).is_some());
            if !fits {
                continue;
            }
            let name = entry.annotations.get(CONTAINERD_NAME).or_else(|| entry.annotations.get(OCI_NAME));
            let names: Vec<Reference> = name.and_then(|name| name.parse().ok()).into_iter().collect();
            // An entry for each tag of one image is usual.
            if let Some(same) = images.iter_mut().find(|image| image.target.digest == entry.digest) {
                same.names.extend(names);
                continue;
            }
            images.push(self.oci_image(entry, names)?);
        }
        if images.is_empty() {
            return Err(self.source.wrong(format!("no image for platform {}", self.platform)));
        }
        Ok(images)
    }

    fn oci_image(&self, entry: &Descriptor, names: Vec<Reference>) -> Result<Imported, Error> {
        let mut target = Descriptor::new(&entry.media_type, entry.digest.clone(), entry.size);
        let mut keys = Vec::new();
        let mut next = entry.clone();
        for _ in 0..MAX_INDEX_DEPTH {
            keys.push(Key::Blob(next.digest.clone()));
            let hold = self.store.lease(keys.clone());
            let place = self.place(Part::Manifest);
            self.blob(&next, &place)?;
            let bytes = self.store.read_blob(&next.digest, MAX_DOCUMENT)?;
            match Document::parse(&bytes, &next.media_type, &place)? {
                Document::Index(index) => next = index.select(self.platform, &place)?.clone(),
                Document::Manifest(manifest) => {
                    if target.digest == next.digest {
                        target = Descriptor::new(
                            manifest.own_media_type(),
                            next.digest.clone(),
                            bytes.len() as u64,
                        );
                    }
                    let lease = self.content(&manifest, hold)?;
                    let config = self.store.read_blob(&manifest.config.digest, MAX_DOCUMENT)?;
                    let stored = Arc::new(Stored::parse(&next.digest, &bytes, &config, &place)?);
                    return Ok(self.imported(names, target, stored, lease));
                }
            }
        }
        Err(self.source.wrong("indexes are nested too deep"))
    }

    fn imported(
        &self,
        names: Vec<Reference>,
        target: Descriptor,
        stored: Arc<Stored>,
        old: Lease,
    ) -> Imported {
        let lease = self.store.lease(keys_of(&stored).into_iter().chain([Key::Blob(target.digest.clone())]));
        drop(old);
        Imported { names, target, stored, _lease: lease }
    }

    /// Configuration and layers of an OCI image.
    fn content(&self, manifest: &Manifest, hold: Lease) -> Result<Lease, Error> {
        let parts = manifest.layers.iter().chain([&manifest.config]);
        let lease =
            self.store.lease(hold.keys().iter().cloned().chain(parts.map(|p| Key::Blob(p.digest.clone()))));
        self.blob(&manifest.config, &self.place(Part::Config(manifest.config.digest.clone())))?;
        for layer in &manifest.layers {
            self.blob(layer, &self.place(Part::Layer(layer.digest.clone())))?;
        }
        Ok(lease)
    }

    /// Copies a blob whose digest is known.
    fn blob(&self, descriptor: &Descriptor, place: &Place) -> Result<(), Error> {
        let digest = &descriptor.digest;
        if self.store.has_blob(digest) {
            return Ok(());
        }
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let Some((_, size)) = self.source.member(&name)? else {
            return Err(self.source.wrong(format!("{name} is missing")));
        };
        if size != descriptor.size {
            let (place, expected) = (Box::new(place.clone()), descriptor.size);
            return Err(Error::Truncated { place, expected, actual: size });
        }
        let (actual, _, commit) = self.copy(&name, digest.algorithm())?;
        if actual != *digest {
            let (place, expected) = (Box::new(place.clone()), digest.clone());
            return Err(Error::WrongDigest { place, expected, actual });
        }
        commit.commit()
    }

    fn copy(&self, name: &str, algorithm: Algorithm) -> Result<(Digest, u64, crate::store::Ingested), Error> {
        let Some((mut reader, size)) = self.source.member(name)? else {
            return Err(self.source.wrong(format!("{name} is missing")));
        };
        let mut ingest = self.store.ingest(algorithm)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer).map_err(at("read", &self.path))? {
                0 => break,
                count => ingest.write(&buffer[..count])?,
            }
        }
        if ingest.written() != size {
            return Err(self.source.wrong(format!("{name} is truncated")));
        }
        let ingested = ingest.finish()?;
        Ok((ingested.digest.clone(), size, ingested))
    }

    fn docker_archive(&self, manifest: &[u8]) -> Result<Vec<Imported>, Error> {
        let images: Vec<DockerImage> = serde_json::from_slice(manifest)
            .map_err(|error| self.source.wrong(format!("manifest.json: {error}")))?;
        if images.is_empty() {
            return Err(self.source.wrong("manifest.json lists no image"));
        }
        images.iter().map(|image| self.docker_image(image)).collect()
    }

    /// A docker-archive has no manifest; one is made, of the blobs as they are.
    fn docker_image(&self, image: &DockerImage) -> Result<Imported, Error> {
        let config = self.source.read(&image.config, MAX_DOCUMENT)?;
        let config = config.ok_or_else(|| self.source.wrong(format!("{} is missing", image.config)))?;
        let mut parts = vec![Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64)];
        // Each blob is leased before it is visible.
        let mut leases = vec![self.store.lease([Key::Blob(parts[0].digest.clone())])];
        self.store.put_blob(&parts[0].digest, &config)?;
        for name in image.layers.iter().flatten() {
            let (digest, size, ingested) = self.copy(name, Algorithm::Sha256)?;
            leases.push(self.store.lease([Key::Blob(digest.clone())]));
            if !self.store.has_blob(&digest) {
                ingested.commit()?;
            }
            parts.push(Descriptor::new(OCI_LAYER, digest, size));
        }
        let config_descriptor = parts.remove(0);
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: config_descriptor,
            layers: parts,
        };
        let bytes = to_json(&self.path, &manifest)?;
        let digest = Digest::of(&bytes);
        leases.push(self.store.lease([Key::Blob(digest.clone())]));
        self.store.put_blob(&digest, &bytes)?;
        let stored = Stored::parse(&digest, &bytes, &config, &self.place(Part::Manifest))?;
        let target = Descriptor::new(OCI_MANIFEST, digest, bytes.len() as u64);
        let names = image.repo_tags.iter().flatten().map(|tag| tag.parse()).collect::<Result<_, _>>()?;
        let lease = self.store.lease([]);
        let imported = self.imported(names, target, Arc::new(stored), lease);
        drop(leases);
        Ok(imported)
    }
}

impl Store {
    /// A file without a name, gone when it is closed.
    fn scratch(&self) -> Result<File, Error> {
        let folder = self.ingest_folder();
        tempfile::tempfile_in(&folder).map_err(at("write in", &folder))
    }
}
