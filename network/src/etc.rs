//! The files of a pod's /etc that tell of the network: hosts, hostname, resolv.conf.

mod hosts;
mod resolv;

pub use hosts::{hostname, hosts};
pub use resolv::{Dns, host_dns, resolv_conf};
