//! Containers: an operation a file.

mod create;
mod exit;
mod remove;
mod start;
mod stop;
mod update;
