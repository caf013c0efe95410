//! A pull: what a reference means, and all of it into the store, each thing once.
//!
//! Locks, in the order they are taken: the layer's chain, its blob, a permit to work. Blob and permit
//! are let go before waiting for the layer below, so a chain of waiting layers holds up nobody.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::config::Config;
use crate::digest::Hasher;
use crate::fetch::LayerTask;
use crate::flight::Keyed;
use crate::manifest::{Descriptor, Document, MAX_INDEX_DEPTH, Manifest};
use crate::progress::{Counter, Counters, LayerState};
use crate::registry::{Registry, Remote, no_host};
use crate::store::{Key, Lease, MAX_DOCUMENT, Store, Stored};
use crate::{Auth, Digest, Error, Image, Part, Place, Platform, Reference};

/// What the callers of a pull see of it: nothing until the manifest is known.
pub(crate) type SharedCounters = Option<Arc<Counters>>;

/// Brings images into a store.
pub(crate) struct Puller {
    pub(crate) store: Arc<Store>,
    registry: Registry,
    config: Config,
    chains: Keyed<Digest>,
    blobs: Keyed<Digest>,
    permits: Semaphore,
}

/// A manifest with the documents that led to it.
struct Resolved {
    target: Descriptor,
    manifest: Manifest,
    digest: Digest,
    bytes: Vec<u8>,
    registry: String,
    _lease: Lease,
}

impl Puller {
    pub(crate) fn new(store: Arc<Store>, config: Config) -> Puller {
        let permits = Semaphore::new(config.max_parallel_layers.max(1));
        let registry = Registry::new(config.clone());
        Puller { store, registry, config, chains: Keyed::default(), blobs: Keyed::default(), permits }
    }

    pub(crate) fn platform(&self) -> &Platform {
        &self.config.platform
    }

    /// Pulls `reference` and records its names.
    pub(crate) async fn pull(
        self: Arc<Self>,
        reference: Reference,
        auth: Option<Auth>,
        progress: watch::Sender<SharedCounters>,
    ) -> Result<Image, Error> {
        let remote = self.registry.remote(reference, auth)?;
        if let Some(image) = self.unchanged(&remote).await {
            return Ok(image);
        }
        let resolved = self.resolve(&remote).await?;
        let stored = Arc::new(self.config(&remote, &resolved).await?);
        let _lease = self.store.lease(keys_of(&stored));
        let counter = |layer: &Descriptor| (layer.digest.clone(), layer.size, Arc::new(Counter::default()));
        let counters = Arc::new(Counters(stored.manifest.layers.iter().map(counter).collect()));
        progress.send_replace(Some(Arc::clone(&counters)));
        self.layers(&stored, Some(&remote), &counters, &remote.reference.to_string()).await?;
        let by_digest = remote.reference.with_digest(&resolved.target.digest);
        let names = [remote.reference.canonical(), by_digest];
        self.record(names.to_vec(), resolved.target, stored).await
    }

    /// Writes names down, and lets the layers settle on the disk behind the caller's back.
    pub(crate) async fn record(
        &self,
        names: Vec<Reference>,
        target: Descriptor,
        stored: Arc<Stored>,
    ) -> Result<Image, Error> {
        let store = Arc::clone(&self.store);
        let image = blocking("recording the image", move || {
            let id = stored.id().clone();
            store.change_catalog(|catalog| {
                catalog.insert(&names, &target, stored);
                Ok(())
            })?;
            let image = store.state().catalog.image(&id).cloned();
            image.ok_or_else(|| Error::NotFound { name: id.to_string() })
        })
        .await?;
        if let Some(settle) = self.store.settle() {
            tokio::task::spawn_blocking(move || settle.run());
        }
        Ok(image)
    }

    /// The image as it is here, when the registry says that it still is so. The registry is always asked:
    /// whether a caller's credentials are good is for it to say.
    async fn unchanged(&self, remote: &Remote) -> Option<Image> {
        let name = self.store.state().catalog.name(&remote.reference).cloned()?;
        let digest = remote.reference.digest().map(Digest::to_string);
        let wanted = digest.as_deref().or(remote.reference.tag())?;
        if self.registry.resolve(remote, wanted).await? != name.target.digest {
            return None;
        }
        let state = self.store.state();
        let stored = state.catalog.stored_of(&name)?;
        let has_layers = stored.chain_ids.iter().all(|chain_id| state.has_layer(chain_id));
        let has_blobs = stored.manifest.layers.iter().all(|layer| state.has_blob(&layer.digest));
        if has_layers && has_blobs { state.catalog.image(stored.id()).cloned() } else { None }
    }

    /// Follows indexes down to the manifest for this platform, keeping each document.
    async fn resolve(&self, remote: &Remote) -> Result<Resolved, Error> {
        let mut wanted = match (remote.reference.digest(), remote.reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or_default().to_owned(),
        };
        let mut lease = Vec::new();
        let mut target = None;
        for _ in 0..MAX_INDEX_DEPTH {
            let fetched = self.registry.manifest(remote, &wanted).await?;
            let place = remote.place(&fetched.registry, Part::Manifest);
            lease.push(Key::Blob(fetched.digest.clone()));
            let hold = self.store.lease(lease.clone());
            let document = Document::parse(&fetched.bytes, &fetched.media_type, &place)?;
            let media_type = match &document {
                Document::Index(index) if index.media_type.is_empty() => fetched.media_type.as_str(),
                Document::Index(index) => &index.media_type,
                Document::Manifest(manifest) => manifest.own_media_type(),
            };
            let descriptor = Descriptor::new(media_type, fetched.digest.clone(), fetched.bytes.len() as u64);
            let target = target.get_or_insert(descriptor);
            self.put(&fetched.digest, &fetched.bytes).await?;
            match document {
                Document::Index(index) => {
                    wanted = index.select(&self.config.platform, &place)?.digest.to_string()
                }
                Document::Manifest(manifest) => {
                    return Ok(Resolved {
                        target: target.clone(),
                        manifest,
                        digest: fetched.digest,
                        bytes: fetched.bytes,
                        registry: fetched.registry,
                        _lease: hold,
                    });
                }
            }
        }
        Err(Error::InvalidDocument {
            place: Box::new(remote.place("", Part::Manifest)),
            reason: "indexes are nested too deep".to_owned(),
        })
    }

    async fn config(&self, remote: &Remote, resolved: &Resolved) -> Result<Stored, Error> {
        let descriptor = &resolved.manifest.config;
        let _lease = self.store.lease([Key::Blob(descriptor.digest.clone())]);
        let part = Part::Config(descriptor.digest.clone());
        let place = remote.place(&resolved.registry, part);
        let _lock = self.blobs.lock(&descriptor.digest).await;
        let bytes = if self.store.has_blob(&descriptor.digest) {
            self.store.read_blob(&descriptor.digest, MAX_DOCUMENT)?
        } else {
            let bytes = self.small_blob(remote, descriptor).await?;
            self.put(&descriptor.digest, &bytes).await?;
            bytes
        };
        Stored::parse(&resolved.digest, &resolved.bytes, &bytes, &place)
    }

    async fn small_blob(&self, remote: &Remote, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
        let part = Part::Config(descriptor.digest.clone());
        if descriptor.size > MAX_DOCUMENT {
            let place = Box::new(remote.place("", part));
            return Err(Error::TooLong { place, expected: MAX_DOCUMENT });
        }
        let mut last = None;
        for host in remote.pull_hosts() {
            let (sink, mut source) = mpsc::channel::<Bytes>(4);
            let counter = Counter::default();
            let fetch = async {
                let fetched =
                    self.registry.blob(remote, host, part.clone(), descriptor, &sink, &counter).await;
                drop(sink);
                fetched
            };
            let collect = async {
                let mut bytes = Vec::new();
                while let Some(chunk) = source.recv().await {
                    bytes.extend_from_slice(&chunk);
                }
                bytes
            };
            let (fetched, bytes) = tokio::join!(fetch, collect);
            let mut hasher = Hasher::new(descriptor.digest.algorithm());
            hasher.update(&bytes);
            let actual = hasher.finish();
            match fetched {
                Ok(()) if actual == descriptor.digest => return Ok(bytes),
                Ok(()) => {
                    let place = Box::new(remote.place(&host.name(), part.clone()));
                    let expected = descriptor.digest.clone();
                    last = Some(Error::WrongDigest { place, expected, actual });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_host(remote)))
    }

    /// All layers of an image, in parallel. Without `remote` their blobs must be here.
    pub(crate) async fn layers(
        &self,
        stored: &Stored,
        remote: Option<&Remote>,
        counters: &Counters,
        image: &str,
    ) -> Result<(), Error> {
        let (signals, mut below): (Vec<_>, Vec<_>) =
            stored.chain_ids.iter().map(|_| watch::channel(false)).map(|(s, r)| (s, Some(r))).unzip();
        // Each waits for the one under it; the base for none.
        below.insert(0, None);
        let tasks = signals.into_iter().zip(below).enumerate().map(|(index, (done, below))| {
            let task = LayerTask {
                descriptor: &stored.manifest.layers[index],
                diff_id: &stored.diff_ids[index],
                chain_id: &stored.chain_ids[index],
                below: &stored.chain_ids[..index],
                max_bytes: self.config.max_layer_bytes,
                root: self.store.layers_root(),
                counter: &counters.0[index].2,
            };
            async move {
                self.layer(&task, remote, image, below).await?;
                task.counter.set_state(LayerState::Done);
                done.send_replace(true);
                Ok(())
            }
        });
        try_join_all(tasks).await.map(|_: Vec<()>| ())
    }

    async fn layer(
        &self,
        task: &LayerTask<'_>,
        remote: Option<&Remote>,
        image: &str,
        below: Option<watch::Receiver<bool>>,
    ) -> Result<(), Error> {
        let digest = &task.descriptor.digest;
        let part = Part::Layer(digest.clone());
        let place = Place { image: image.to_owned(), registry: String::new(), part };
        let _chain = self.chains.lock(task.chain_id).await;
        let has_layer = self.store.has_layer(task.chain_id);
        let unpacked = {
            let _blob = self.blobs.lock(digest).await;
            let has_blob = self.store.has_blob(digest);
            if has_layer && has_blob {
                return Ok(());
            }
            let _permit = self.permits.acquire().await;
            match (has_blob, remote) {
                (true, _) => Some(task.unpack_blob(&self.store, &place).await?),
                (false, Some(remote)) => {
                    task.download(&self.store, &self.registry, remote, !has_layer).await?
                }
                (false, None) => return Err(Error::NotFound { name: format!("blob {digest} of {image}") }),
            }
        };
        let Some(unpacked) = unpacked else { return Ok(()) };
        if let Some(mut below) = below
            && below.wait_for(|done| *done).await.is_err()
        {
            return Err(Error::Cancelled { what: place.to_string() });
        }
        task.commit(&self.store, unpacked, &place).await
    }

    pub(crate) async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let (store, digest, bytes) = (Arc::clone(&self.store), digest.clone(), bytes.to_vec());
        blocking("writing a manifest", move || store.put_blob(&digest, &bytes)).await
    }
}

/// What of an image garbage collection must leave.
pub(crate) fn keys_of(stored: &Stored) -> Vec<Key> {
    let layers = stored.manifest.layers.iter().map(|layer| Key::Blob(layer.digest.clone()));
    let documents = [&stored.digest, stored.id()].into_iter().cloned().map(Key::Blob);
    layers.chain(documents).chain(stored.chain_ids.iter().cloned().map(Key::Layer)).collect()
}

/// Runs what waits for the disk away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Cancelled { what: what.to_owned() }),
    }
}
