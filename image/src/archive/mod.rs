//! Images in files: OCI image layouts (OCI image specification, "Image Layout") and docker-archives
//! (what `docker save` writes).

mod export;
mod import;
mod source;

pub(crate) use export::{Exported, export};
pub(crate) use import::import;
