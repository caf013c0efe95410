//! The real binary, driven over its socket as the engine does it. Needs root and `/bin/busybox` (static).

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod attach;
mod exec;
mod hostile;
mod lifecycle;
mod logs;
mod pod;
mod processes;
mod resources;
