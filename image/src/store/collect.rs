//! Garbage collection: blobs and layers to which no name, no lease and no container leads.

use std::collections::HashSet;

use super::catalog::MAX_DOCUMENT;
use super::{Catalog, Key, Store};
use crate::error::at;
use crate::manifest::chain_ids;
use crate::{Digest, Error, Freed};

impl Store {
    /// Removes what nothing leads to. `in_use` are ids of images that containers run from; such an image
    /// may have lost its names, its layers stay all the same.
    pub(crate) fn collect(&self, in_use: &[Digest]) -> Result<Freed, Error> {
        let used = self.keys_in_use(in_use);
        let mut freed = Freed::default();
        let mut removed = Vec::new();
        let mut state = self.state();
        let mut keep = names_lead_to(&state.catalog);
        keep.extend(used);
        keep.extend(state.leases.keys().cloned());
        let blobs: Vec<(Digest, u64)> = state
            .blobs
            .iter()
            .filter(|(digest, _)| !keep.contains(&Key::Blob((*digest).clone())))
            .map(|(digest, size)| (digest.clone(), *size))
            .collect();
        for (digest, size) in blobs {
            let path = self.blob_path(&digest);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(at("remove", &path)(error));
                }
                _ => state.blobs.remove(&digest),
            };
            freed.blobs += 1;
            freed.bytes += size;
        }
        let layers: Vec<_> = state
            .layers
            .values()
            .filter(|info| !keep.contains(&Key::Layer(info.chain_id.clone())))
            .cloned()
            .collect();
        for info in layers {
            removed.push(self.detach_layer(&info)?);
            state.layers.remove(&info.chain_id);
            freed.layers += 1;
            freed.bytes += info.bytes;
        }
        drop(state);
        // Emptying the folders takes long, and nobody can see them any more.
        drop(removed);
        Ok(freed)
    }

    fn keys_in_use(&self, ids: &[Digest]) -> Vec<Key> {
        let mut keys = Vec::new();
        for id in ids {
            keys.push(Key::Blob(id.clone()));
            let known = self.state().catalog.image(id).map(|image| image.chain_ids.clone());
            let chain = known.or_else(|| {
                let bytes = self.read_blob(id, MAX_DOCUMENT).ok()?;
                let config: oci_spec::image::ImageConfiguration = serde_json::from_slice(&bytes).ok()?;
                let diff_ids: Option<Vec<Digest>> =
                    config.rootfs().diff_ids().iter().map(|id| id.parse().ok()).collect();
                Some(chain_ids(&diff_ids?))
            });
            keys.extend(chain.unwrap_or_default().into_iter().map(Key::Layer));
        }
        keys
    }
}

fn names_lead_to(catalog: &Catalog) -> HashSet<Key> {
    let mut keep = HashSet::new();
    for (_, name) in catalog.names() {
        keep.insert(Key::Blob(name.target.digest.clone()));
    }
    for stored in catalog.stored() {
        keep.insert(Key::Blob(stored.digest.clone()));
        keep.insert(Key::Blob(stored.manifest.config.digest.clone()));
        keep.extend(stored.manifest.layers.iter().map(|layer| Key::Blob(layer.digest.clone())));
        keep.extend(stored.chain_ids.iter().cloned().map(Key::Layer));
    }
    keep
}
