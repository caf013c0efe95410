//! Names of images: `content/index.json`, an OCI image index with one entry a name, and what follows
//! from it in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use oci_spec::image::ImageConfiguration;
use serde::Serialize;

use super::{LayerInfo, Store, write_atomically};
use crate::error::at;
use crate::manifest::{Descriptor, Document, Index, Manifest, OCI_INDEX, chain_ids, parse_config};
use crate::{Digest, Error, Image, Part, Place, Reference};

const FILE: &str = "index.json";
const NAME: &str = "org.opencontainers.image.ref.name";
const MANIFEST: &str = "reeve.image.manifest";
const PINNED: &str = "reeve.image.pinned";
/// In front of the digest of an image that an archive gave no name.
const NAMELESS: &str = "<none>@";

/// Documents are read into memory.
pub(crate) const MAX_DOCUMENT: u64 = 8 << 20;

/// What a name leads to.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// What the registry calls so: a manifest, or an index.
    pub(crate) target: Descriptor,
    /// The manifest for this platform.
    pub(crate) manifest: Digest,
    pub(crate) pinned: bool,
}

/// A manifest of the store with its configuration, parsed.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_size: u64,
    pub(crate) config: Arc<ImageConfiguration>,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) chain_ids: Vec<Digest>,
}

/// All names, and the images they make.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    names: BTreeMap<String, Name>,
    stored: HashMap<Digest, Arc<Stored>>,
    images: BTreeMap<Digest, Image>,
}

impl Stored {
    pub(crate) fn parse(
        digest: &Digest,
        manifest: &[u8],
        config: &[u8],
        place: &Place,
    ) -> Result<Stored, Error> {
        let Document::Manifest(parsed) = Document::parse(manifest, "", place)? else {
            let reason = "an index where a manifest should be".to_owned();
            return Err(Error::InvalidDocument { place: Box::new(place.clone()), reason });
        };
        let (config, diff_ids) = parse_config(config, &parsed, place)?;
        Ok(Stored {
            digest: digest.clone(),
            manifest: parsed,
            manifest_size: manifest.len() as u64,
            config: Arc::new(config),
            chain_ids: chain_ids(&diff_ids),
            diff_ids,
        })
    }

    /// Reads it from the store's blobs.
    pub(crate) fn load(store: &Store, digest: &Digest, image: &str) -> Result<Stored, Error> {
        let place = Place { image: image.to_owned(), registry: String::new(), part: Part::Manifest };
        let bytes = store.read_blob(digest, MAX_DOCUMENT)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, "", &place)? else {
            let reason = "an index where a manifest should be".to_owned();
            return Err(Error::InvalidDocument { place: Box::new(place), reason });
        };
        let config = store.read_blob(&manifest.config.digest, MAX_DOCUMENT)?;
        Stored::parse(digest, &bytes, &config, &place)
    }

    pub(crate) fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }

    fn bytes(&self, layers: &HashMap<Digest, LayerInfo>) -> u64 {
        let blobs: u64 = self.manifest.layers.iter().map(|layer| layer.size).sum();
        let unpacked: u64 =
            self.chain_ids.iter().filter_map(|id| layers.get(id)).map(|info| info.bytes).sum();
        blobs + unpacked + self.manifest.config.size + self.manifest_size
    }
}

impl Catalog {
    /// Reads the names. One whose content is gone or damaged is dropped: pulling it again heals it.
    pub(super) fn load(store: &Store) -> Result<Catalog, Error> {
        let path = store.content.join(FILE);
        let mut catalog = Catalog::default();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                catalog.save(&store.content)?;
                return Ok(catalog);
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let index: Index = serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
        for mut target in index.manifests {
            let name = target.annotations.remove(NAME).unwrap_or_default();
            let manifest = target.annotations.remove(MANIFEST).and_then(|digest| digest.parse().ok());
            let manifest: Digest = manifest.unwrap_or_else(|| target.digest.clone());
            let pinned = target.annotations.remove(PINNED).is_some();
            let known = catalog.stored.contains_key(&manifest);
            match if known { Ok(None) } else { Stored::load(store, &manifest, &name).map(Some) } {
                Ok(stored) => {
                    catalog.stored.extend(stored.map(|stored| (manifest.clone(), Arc::new(stored))));
                    catalog.names.insert(name, Name { target, manifest, pinned });
                }
                Err(error) => tracing::warn!(image = %name, %error, "dropping an image that is not whole"),
            }
        }
        catalog.rebuild(&store.state().layers);
        Ok(catalog)
    }

    pub(super) fn save(&self, content: &Path) -> Result<(), Error> {
        let entry = |(name, record): (&String, &Name)| {
            let mut target = record.target.clone();
            target.annotations.insert(NAME.to_owned(), name.clone());
            target.annotations.insert(MANIFEST.to_owned(), record.manifest.to_string());
            if record.pinned {
                target.annotations.insert(PINNED.to_owned(), "true".to_owned());
            }
            target
        };
        let manifests = self.names.iter().map(entry).collect();
        let index = Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests };
        let layout = content.join("oci-layout");
        if !layout.exists() {
            fs::write(&layout, br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(at("write", &layout))?;
        }
        write_atomically(&content.join(FILE), &to_json(&content.join(FILE), &index)?)
    }

    /// Derives the images from the names.
    pub(super) fn rebuild(&mut self, layers: &HashMap<Digest, LayerInfo>) {
        let named: HashSet<&Digest> = self.names.values().map(|name| &name.manifest).collect();
        self.stored.retain(|digest, _| named.contains(digest));
        self.images.clear();
        for (text, name) in &self.names {
            let Some(stored) = self.stored.get(&name.manifest) else { continue };
            let image = self.images.entry(stored.id().clone()).or_insert_with(|| Image {
                id: stored.id().clone(),
                manifest: name.manifest.clone(),
                repo_tags: Vec::new(),
                repo_digests: Vec::new(),
                size: stored.bytes(layers),
                config: Arc::clone(&stored.config),
                chain_ids: stored.chain_ids.clone(),
                pinned: false,
            });
            image.pinned |= name.pinned;
            if text.starts_with(NAMELESS) {
                continue;
            }
            if text.contains('@') {
                image.repo_digests.push(text.clone());
            } else {
                image.repo_tags.push(text.clone());
            }
        }
    }

    /// Records what a pull or an import brought. Without a name it is found by its id alone.
    pub(crate) fn insert(&mut self, names: &[Reference], target: &Descriptor, stored: Arc<Stored>) {
        let manifest = stored.digest.clone();
        let pinned = self.images.get(stored.id()).is_some_and(|image| image.pinned);
        let nameless = format!("{NAMELESS}{manifest}");
        let mut texts: Vec<String> = names.iter().map(|name| name.canonical().to_string()).collect();
        if texts.is_empty() {
            texts.push(nameless);
        } else {
            self.names.remove(&nameless);
        }
        for text in texts {
            self.names.insert(text, Name { target: target.clone(), manifest: manifest.clone(), pinned });
        }
        self.stored.insert(manifest, stored);
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.values()
    }

    pub(crate) fn image(&self, id: &Digest) -> Option<&Image> {
        self.images.get(id)
    }

    pub(crate) fn stored(&self) -> impl Iterator<Item = &Arc<Stored>> {
        self.stored.values()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, &Name)> {
        self.names.iter()
    }

    pub(crate) fn name(&self, reference: &Reference) -> Option<&Name> {
        self.names.get(&reference.canonical().to_string())
    }

    pub(crate) fn stored_of(&self, name: &Name) -> Option<&Arc<Stored>> {
        self.stored.get(&name.manifest)
    }

    /// The name that `text` is, if it is one.
    pub(crate) fn find_name(&self, text: &str) -> Option<(String, Reference)> {
        let reference: Reference = text.parse().ok()?;
        let key = reference.canonical().to_string();
        self.names.contains_key(&key).then_some((key, reference))
    }

    /// The image that `text` means: a name, an id, or the start of one id.
    pub(crate) fn find(&self, text: &str) -> Result<&Image, Error> {
        let missing = || Error::NotFound { name: text.chars().take(300).collect() };
        let by_name = |key: &str| {
            let stored = self.stored.get(&self.names.get(key)?.manifest)?;
            self.images.get(stored.id())
        };
        if let Some(image) = self.find_name(text).and_then(|(key, _)| by_name(&key)) {
            return Ok(image);
        }
        if let Ok(reference) = text.parse::<Reference>()
            && let Some(digest) = reference.digest()
        {
            // A registry's index was pulled by tag; the digest of its manifest for us is as good.
            let repository = format!("{}@", reference.repository());
            let of_repository = |name: &String| name.starts_with(&repository);
            let mut same = self.names.iter().filter(|(_, name)| name.manifest == *digest);
            return same
                .find(|(key, _)| of_repository(key))
                .and_then(|(key, _)| by_name(key))
                .ok_or_else(missing);
        }
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.len() < 4 || !prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(missing());
        }
        let mut found = self.images.values().filter(|image| image.id.hex().starts_with(prefix));
        match (found.next(), found.count()) {
            (Some(image), 0) => Ok(image),
            (None, _) => Err(missing()),
            (Some(_), more) => Err(Error::Ambiguous { prefix: prefix.to_owned(), count: more + 1 }),
        }
    }

    /// Takes a name away. With the last tag go the names by digest, and so the image; an id means all names.
    pub(crate) fn remove(&mut self, text: &str) -> Result<(), Error> {
        let image = self.find(text)?.clone();
        let all: Vec<String> = self
            .names
            .iter()
            .filter(|(_, name)| self.stored.get(&name.manifest).is_some_and(|s| *s.id() == image.id))
            .map(|(key, _)| key.clone())
            .collect();
        let is_tag = |key: &String| !key.contains('@');
        let key = self.find_name(text).map(|(key, _)| key);
        match key {
            Some(key) if all.iter().any(|other| is_tag(other) && *other != key) => {
                self.names.remove(&key);
            }
            Some(key) if !is_tag(&key) && all.len() > 1 => {
                self.names.remove(&key);
            }
            _ => all.iter().for_each(|key| {
                self.names.remove(key);
            }),
        }
        Ok(())
    }

    /// One more name for what `text` means; the image's id.
    pub(crate) fn tag(&mut self, text: &str, name: &Reference) -> Result<Digest, Error> {
        let id = self.find(text)?.id.clone();
        let by_name = self.find_name(text).and_then(|(key, _)| self.names.get(&key)).cloned();
        let is_named = |record: &&Name| self.stored.get(&record.manifest).is_some_and(|s| *s.id() == id);
        let record = by_name.or_else(|| self.names.values().find(is_named).cloned());
        let record = record.ok_or_else(|| Error::NotFound { name: text.to_owned() })?;
        self.names.remove(&format!("{NAMELESS}{}", record.manifest));
        self.names.insert(name.to_string(), record);
        Ok(id)
    }

    /// Drops every name of a manifest whose content cannot be had any more.
    pub(crate) fn forget(&mut self, manifest: &Digest) {
        self.names.retain(|_, name| name.manifest != *manifest);
    }

    /// Pins or unpins all names of an image.
    pub(crate) fn pin(&mut self, text: &str, pinned: bool) -> Result<(), Error> {
        let id = self.find(text)?.id.clone();
        for name in self.names.values_mut() {
            if self.stored.get(&name.manifest).is_some_and(|stored| *stored.id() == id) {
                name.pinned = pinned;
            }
        }
        Ok(())
    }
}

pub(crate) fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|error| Error::Damaged { path: path.to_owned(), reason: error.to_string() })
}
