//! A small netlink: messages are written, sent in batches, and each is answered for.
//!
//! rtnetlink(7) and nfnetlink share one format, so one encoder serves links, addresses, routes, nftables and
//! conntrack. Nothing here waits for anything but the kernel's acknowledgements.

mod attributes;
mod message;
mod parse;
mod socket;

pub(crate) use attributes::Attributes;
pub(crate) use message::Message;
pub(crate) use parse::{Answer, attributes};
pub(crate) use socket::Socket;
