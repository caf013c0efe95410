//! The desired state: Kubernetes objects, loaded strictly, validated and defaulted.

mod diagnostic;

pub use diagnostic::{Diagnostic, Severity};
