//! `reeve-shim`: the process that stands for one pod. It keeps the pod's namespaces, is the parent of its
//! containers, writes their logs, keeps their exit codes, and answers the engine on a Unix socket. It goes on
//! when the engine does not; when it is killed, the pod's processes end with it.
//!
//! The protocol is `proto/shim/shim.proto`. One process, one thread, one poll loop; see `shim.rs`.

mod attach;
mod connection;
mod container;
mod ends;
mod exits;
pub mod frame;
mod log;
mod options;
mod pod;
mod requests;
mod scratch;
mod shim;
mod start;
mod timestamp;
mod worker;

use std::fmt::Arguments;
use std::io::Write;

pub use options::{Options, OptionsError, USAGE};
pub use start::{StartError, run};

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// A line in `shim.log`. There is nobody to tell when that fails.
pub(crate) fn note(text: Arguments<'_>) {
    let now = timestamp::format(timestamp::now_ns());
    let _ = writeln!(std::io::stderr(), "{} {text}", String::from_utf8_lossy(&now));
}
