//! The API over a real Unix socket, on a store filled by hand and a runtime that answers as told.

mod exec;
mod fake;
mod images;
mod logs;
mod pods;
