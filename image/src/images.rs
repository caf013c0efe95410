//! The crate's entrance.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::archive;
use crate::flight::{Flight, Flights};
use crate::progress::{Counter, Counters};
use crate::pull::{Puller, SharedCounters, blocking};
use crate::store::{Key, Store, Stored};
use crate::{ArchiveFormat, Auth, Config, Digest, Error, Freed, Image, Lowers, Progress, Reference, Usage};

const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The images of one root. Cheap to clone; the root is locked while a clone lives.
#[derive(Clone)]
pub struct Images {
    store: Arc<Store>,
    puller: Arc<Puller>,
    /// Running pulls by reference and credentials: nobody gets an image on another's password.
    pulls: Arc<Flights<(Reference, Option<Digest>), Image, SharedCounters>>,
}

impl Images {
    /// Opens the store of `config.root`, makes it where it is missing, removes what a killed process left
    /// unfinished, and unpacks again what a power cut took. What is whole but without a name goes with
    /// [`Images::collect_garbage`], as only the caller knows what is in use.
    pub async fn open(config: Config) -> Result<Images, Error> {
        let root = config.root.clone();
        let store = Arc::new(blocking("opening the store", move || Store::open(&root)).await?);
        let puller = Arc::new(Puller::new(Arc::clone(&store), config));
        let images = Images { store, puller, pulls: Arc::default() };
        images.restore_layers().await?;
        Ok(images)
    }

    /// Pulls an image. The registry is asked even when the image is here: a tag may have moved, and
    /// credentials are for the registry to judge. Callers that pull the same at once share the work;
    /// it ends when the last of them drops its future.
    pub async fn pull(
        &self,
        reference: &str,
        auth: Option<Auth>,
        progress: Option<watch::Sender<Progress>>,
    ) -> Result<Image, Error> {
        let reference: Reference = reference.parse()?;
        let key = (reference.clone(), auth.as_ref().map(Auth::fingerprint));
        let puller = Arc::clone(&self.puller);
        let flight = self.pulls.join(key, |report| puller.pull(reference, auth, report));
        match progress {
            None => flight.wait().await,
            Some(progress) => watched(&flight, &progress).await,
        }
    }

    /// Imports all images of an archive: an OCI layout as folder or tar, or a docker-archive, compressed
    /// or not; told apart by content.
    pub async fn import(&self, path: &Path) -> Result<Vec<Image>, Error> {
        archive::import(&self.puller, path).await
    }

    /// Writes images to `out`, which must not exist yet; a failed export leaves nothing there.
    pub async fn export(
        &self,
        references: &[String],
        format: ArchiveFormat,
        out: &Path,
    ) -> Result<(), Error> {
        let mut images = Vec::new();
        for text in references {
            images.push(archive::Exported::find(&self.store, text)?);
        }
        let (store, out) = (Arc::clone(&self.store), out.to_owned());
        blocking("the export", move || archive::export(&store, &images, format, &out)).await
    }

    /// All images, by id.
    pub fn list(&self) -> Vec<Image> {
        self.store.state().catalog.images().cloned().collect()
    }

    /// The image of a name (as short as Docker allows), an id, or the start of one.
    pub fn get(&self, reference_or_id: &str) -> Option<Image> {
        self.store.state().catalog.find(reference_or_id).ok().cloned()
    }

    /// Takes a name away; with the last tag, or by id, the whole image. What nothing leads to any more is
    /// removed from disk, but for what the images `in_use` (ids) are made of.
    pub async fn remove(&self, reference_or_id: &str, in_use: &[Digest]) -> Result<Freed, Error> {
        let (store, text, in_use) = (Arc::clone(&self.store), reference_or_id.to_owned(), in_use.to_vec());
        blocking("the removal", move || {
            store.change_catalog(|catalog| catalog.remove(&text))?;
            store.collect(&in_use)
        })
        .await
    }

    /// Says whether callers that free space should leave this image alone.
    pub async fn pin(&self, reference_or_id: &str, pinned: bool) -> Result<(), Error> {
        let (store, text) = (Arc::clone(&self.store), reference_or_id.to_owned());
        blocking("pinning", move || store.change_catalog(|catalog| catalog.pin(&text, pinned))).await
    }

    /// Gives an image one more name.
    pub async fn tag(&self, reference_or_id: &str, name: &str) -> Result<Image, Error> {
        let name: Reference = name.parse()?;
        if name.digest().is_some() {
            let reason = "a new name has no digest";
            return Err(Error::InvalidReference { reference: name.to_string(), reason });
        }
        let (store, text) = (Arc::clone(&self.store), reference_or_id.to_owned());
        blocking("tagging", move || {
            let id = store.change_catalog(|catalog| catalog.tag(&text, &name))?;
            store.state().catalog.image(&id).cloned().ok_or(Error::NotFound { name: text })
        })
        .await
    }

    /// Removes blobs and layers to which no name leads; those of the images `in_use` (ids), of running
    /// pulls and of living [`Lowers`] stay.
    pub async fn collect_garbage(&self, in_use: &[Digest]) -> Result<Freed, Error> {
        let (store, in_use) = (Arc::clone(&self.store), in_use.to_vec());
        blocking("garbage collection", move || store.collect(&in_use)).await
    }

    /// The image's layers as lower layers for overlayfs. Upper and work folder are the caller's.
    pub fn mount_plan(&self, image: &Image) -> Result<Lowers, Error> {
        // The lease first: between looking and using, nothing may go.
        let lease = self.store.lease(image.chain_ids.iter().cloned().map(Key::Layer));
        if let Some(missing) = image.chain_ids.iter().find(|chain_id| !self.store.has_layer(chain_id)) {
            return Err(Error::NotFound { name: format!("layer {missing} of image {}", image.id) });
        }
        let mut dirs: Vec<_> =
            image.chain_ids.iter().rev().map(|chain_id| self.store.layer_path(chain_id)).collect();
        if dirs.is_empty() {
            dirs.push(self.store.empty_layer());
        }
        Ok(Lowers { dirs, _lease: lease })
    }

    /// What the store takes on disk, without looking at the disk.
    pub fn fs_usage(&self) -> Usage {
        self.store.usage()
    }

    /// Unpacks missing layers of known images from their blobs; an image that cannot be made whole is
    /// forgotten, so that it is pulled again.
    async fn restore_layers(&self) -> Result<(), Error> {
        let broken: Vec<Arc<Stored>> = {
            let state = self.store.state();
            let is_broken = |stored: &&Arc<Stored>| !stored.chain_ids.iter().all(|id| state.has_layer(id));
            state.catalog.stored().filter(is_broken).cloned().collect()
        };
        for stored in &broken {
            let counter = |layer: &crate::manifest::Descriptor| {
                (layer.digest.clone(), layer.size, Arc::new(Counter::default()))
            };
            let counters = Counters(stored.manifest.layers.iter().map(counter).collect());
            let name = stored.id().to_string();
            if let Err(error) = self.puller.layers(stored, None, &counters, &name).await {
                if !error.is_remote() {
                    return Err(error);
                }
                tracing::warn!(image = %name, %error, "forgetting an image that cannot be unpacked again");
                self.store.change_catalog(|catalog| {
                    catalog.forget(&stored.digest);
                    Ok(())
                })?;
            }
        }
        if !broken.is_empty() {
            self.store.refresh_images();
        }
        if let Some(settle) = self.store.settle() {
            tokio::task::spawn_blocking(move || settle.run());
        }
        Ok(())
    }
}

/// Waits for a pull and tells how far it is.
async fn watched(
    flight: &Flight<Image, SharedCounters>,
    progress: &watch::Sender<Progress>,
) -> Result<Image, Error> {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    let wait = flight.wait();
    tokio::pin!(wait);
    let report = || {
        if let Some(counters) = flight.progress.borrow().as_ref() {
            progress.send_replace(counters.snapshot());
        }
    };
    loop {
        tokio::select! {
            result = &mut wait => {
                report();
                return result;
            }
            _ = ticks.tick() => report(),
        }
    }
}
