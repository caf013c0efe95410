//! The engine's side of the shims: starting one, speaking with it, and knowing when it has gone.

mod client;
mod frame;
mod spawn;

pub(crate) use client::Client;
pub use client::ShimError;
pub(crate) use spawn::Launch;
