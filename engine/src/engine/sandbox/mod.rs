//! Sandboxes: an operation a file.

mod files;
mod lost;
mod remove;
mod run;
mod stop;

pub(crate) use files::unmount_shm;
pub(crate) use lost::recorded_exit;
