//! Cgroups as the engine needs them: naming them, making and removing those of sandboxes, and killing what a
//! dead shim left behind. Limits and accounts are the shim's affair.

mod hierarchy;
mod path;

pub(crate) use hierarchy::Hierarchies;
pub(crate) use path::CgroupPath;
