//! What is so: the status of every pod, as core/v1 objects.

mod store;

pub use store::{PodEvent, PodStore, Watch};
