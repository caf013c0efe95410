//! What is so: the status of every pod, as core/v1 objects.

pub(crate) mod build;
mod store;

pub use store::{PodEvent, PodStore, Watch};
