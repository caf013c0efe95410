//! config.json: reading it, and refusing what would not be carried out.

mod default;
mod refused;
mod validate;

use std::path::Path;

use oci_spec::runtime::Spec;

pub use default::default_spec;
pub(crate) use refused::resources as check_resources;
pub(crate) use validate::{process, spec};

use crate::Error;

/// The configuration's name in a bundle.
pub(crate) const CONFIG: &str = "config.json";

/// Reads a configuration.
pub fn read(path: &Path) -> Result<Spec, Error> {
    let text = std::fs::read(path).map_err(|error| Error::file("open", path, error))?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}
