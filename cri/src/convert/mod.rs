//! CRI's words to the engine's, and back: the only code that knows both.
//!
//! On the way in, every field is taken over, refused by its name, or warned about by its name; the table in
//! `docs/compat-cri.md` says which. On the way out, nothing is invented: what the engine does not know stays
//! absent.

pub(crate) mod container;
pub(crate) mod container_status;
pub(crate) mod event;
pub(crate) mod fault;
pub(crate) mod filter;
pub(crate) mod image;
pub(crate) mod metric;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod resources;
pub(crate) mod sandbox;
pub(crate) mod sandbox_status;
pub(crate) mod security;
pub(crate) mod signal;
pub(crate) mod stats;
