//! The crate's entrance.
use std::path::Path;
use tokio::sync::watch;
use crate::*;

/// The images of one root. Cheap to clone.
#[derive(Clone)]
pub struct Images;

#[allow(missing_docs, unused_variables, clippy::todo)]
impl Images {
    pub async fn open(config: Config) -> Result<Images, Error> { todo!() }
    pub async fn pull(&self, reference: &str, auth: Option<Auth>, progress: Option<watch::Sender<Progress>>) -> Result<Image, Error> { todo!() }
    pub async fn import(&self, path: &Path) -> Result<Vec<Image>, Error> { todo!() }
    pub async fn export(&self, references: &[String], format: ArchiveFormat, out: &Path) -> Result<(), Error> { todo!() }
    pub fn list(&self) -> Vec<Image> { todo!() }
    pub fn get(&self, reference_or_id: &str) -> Option<Image> { todo!() }
    pub async fn remove(&self, reference_or_id: &str, in_use: &[Digest]) -> Result<Freed, Error> { todo!() }
    pub async fn pin(&self, reference_or_id: &str, pinned: bool) -> Result<(), Error> { todo!() }
    pub async fn tag(&self, reference_or_id: &str, new: &str) -> Result<Image, Error> { todo!() }
    pub async fn collect_garbage(&self, in_use: &[Digest]) -> Result<Freed, Error> { todo!() }
    pub fn mount_plan(&self, image: &Image) -> Result<Lowers, Error> { todo!() }
    pub fn fs_usage(&self) -> Usage { todo!() }
}
