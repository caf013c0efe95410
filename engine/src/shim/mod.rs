//! The engine's side of the shims: starting one, speaking with it, and knowing when it has gone.

mod client;
mod frame;

pub use client::ShimError;
pub(crate) use client::{Client, Events};
