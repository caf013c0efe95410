//! The desired state: Kubernetes objects, loaded strictly, defaulted and validated.
//!
//! [`load_file`] turns a text into pods or into [`Diagnostic`]s that show where it is wrong. Nothing is ignored
//! in silence: [`support::FIELDS`] says for each field of a Pod whether it works, is refused or has no effect.

mod default;
mod diagnostic;
mod identity;
mod load;
mod place;
mod quantity;
mod refuse;
mod strict;
mod suggest;
pub mod support;
mod tree;
mod validate;

pub use default::apply_defaults;
pub use diagnostic::{Diagnostic, Severity};
pub use identity::{container_hash, pod_hash, pod_uid};
pub use load::{Loaded, LoadedPod, load_file};
pub use quantity::Amount;
pub use refuse::refusals;
pub use validate::{Violation, validate};
