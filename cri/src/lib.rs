//! The Kubernetes Container Runtime Interface over the engine.
//!
//! One Unix socket carries both gRPC services. [`runtime_service`] and [`image_service`] hold a file for each
//! RPC; [`convert`] holds the only code that knows both CRI's words and the engine's. A second listener, TCP on
//! loopback, is the [`streaming`] server: Exec, Attach and PortForward answer with a URL on it that carries a
//! one-time token.
//!
//! Tasks: tonic runs one per connection and one per call. A call that changes the node runs in a task of its
//! own ([`uninterrupted`]), so that a client which gives up leaves no half of it behind. Nothing here keeps
//! state of the node: that belongs to the engine. Only the streaming tokens live here, in memory, for a minute.

mod clock;
mod config;
mod convert;
mod error;
mod image_service;
mod kernel;
mod runtime_service;
mod server;
mod socket;
mod status;
mod stream;
mod streaming;
mod uninterrupted;

pub use config::Config;
pub use error::Error;
pub use server::serve;
