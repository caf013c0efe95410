//! The version of this program.

/// The package's version, with the commit after a `+` where the build named it.
pub(crate) const VERSION: &str = env!("REEVE_VERSION");
