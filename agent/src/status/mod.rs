//! What is so: the status of every pod, as core/v1 objects.

pub(crate) mod build;
pub(crate) mod cluster;
mod store;

pub use store::{PodEvent, PodStore, Watch};
