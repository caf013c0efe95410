//! Tars unpacked through the front door: as the one layer, or the layers, of an imported image.

use std::path::PathBuf;

use reeve_image::{Error, Image, Images};

use super::images::{Builder, Packing};

/// A store with an image of these layers.
pub struct Unpacked {
    pub root: tempfile::TempDir,
    pub images: Images,
    pub image: Image,
    /// Base first.
    pub layers: Vec<PathBuf>,
}

/// Beside the store's folder lies what an escape would reach.
pub async fn unpack_in(root: tempfile::TempDir, tars: &[Vec<u8>]) -> Result<Unpacked, Error> {
    let layout = super::scratch();
    let layers = tars.iter().map(|tar| (tar.clone(), Packing::Plain)).collect();
    Builder::new(layers).build().write_layout(layout.path(), None);
    let images = super::open(root.path()).await;
    let imported = images.import(layout.path()).await;
    let image = match imported {
        Ok(mut imported) => imported.remove(0),
        Err(error) => {
            super::assert_empty_soon(&images, root.path()).await;
            return Err(error);
        }
    };
    let layers = images.mount_plan(&image).unwrap().dirs.iter().rev().cloned().collect();
    Ok(Unpacked { root, images, image, layers })
}

pub async fn unpack(tars: &[Vec<u8>]) -> Result<Unpacked, Error> {
    unpack_in(super::scratch(), tars).await
}
