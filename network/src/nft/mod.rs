//! nftables over netlink, without `nft` and without a library: a node's image may have neither.
//!
//! `object` names tables, chains and maps, `rule` the expressions of a rule, `batch` makes one transaction of many
//! messages, `ruleset` says what this crate wants in the kernel. Numbers come from linux/netfilter/nf_tables.h.

mod batch;
mod conntrack;
mod object;
mod rule;
mod ruleset;

pub(crate) use conntrack::{forget_pod, forget_ports};
pub(crate) use ruleset::{PodPorts, Ruleset};
