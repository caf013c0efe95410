//! Pod workers.
//!
//! [`pool`] keeps who is desired and one [`worker`] for each pod. A worker owns everything of its pod: it reads
//! what is so ([`seen`]), asks [`crate::plan::plan`] what to do, begins it ([`execute`]) and publishes the status.
//! Its mailbox is a `watch`: the newest wish replaces the last. Events of the runtime only wake it; the state is
//! read again. [`record`] is what a pod leaves on disk, written before the first deed.

mod cgroup;
mod execute;
pub(crate) mod labels;
mod message;
mod owners;
mod pool;
pub(crate) mod record;
pub(crate) mod seen;
mod worker;

pub(crate) use pool::Pool;
