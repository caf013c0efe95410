//! Links, addresses and routes: the rtnetlink(7) messages that this crate sends, and the dumps that it reads.

mod address;
mod bridge;
mod list;
mod route;
mod veth;

pub(crate) use address::{add_address, addresses};
pub(crate) use bridge::create_bridge;
pub(crate) use list::{Link, link_named, links};
pub(crate) use route::add_default_route;
pub(crate) use veth::{POD_INTERFACE, create_veth, host_interface, mac_of, set_port};

use crate::netlink::{Attributes, Message};

/// Create, and fail where it exists.
const CREATE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
/// Create, or change what exists.
const REPLACE: i32 = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// `struct ifinfomsg` (rtnetlink(7)): a link by its index, or 0 and its name as an attribute; maybe to be set up.
fn link_head(index: u32, up: bool) -> [u8; 16] {
    let flags = if up { libc::IFF_UP as u32 } else { 0 };
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&flags.to_ne_bytes());
    head
}

/// Sets the loopback interface up: it is always the first of its namespace.
pub(crate) fn loopback_up() -> Message {
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link_head(1, true), "set the loopback interface up")
}

/// Sets a link up.
pub(crate) fn set_up(index: u32, name: &str) -> Message {
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link_head(index, true), format!("set {name} up"))
}

/// Deletes a link, and with a veth its other end.
pub(crate) fn delete_link(name: &str) -> Message {
    Message::new(libc::RTM_DELLINK, libc::NLM_F_ACK, &link_head(0, false), format!("delete interface {name}"))
        .with(&Attributes::new().text(libc::IFLA_IFNAME, name))
}

/// Puts a link into a group.
pub(crate) fn set_group(name: &str, group: u32) -> Message {
    Message::new(libc::RTM_SETLINK, libc::NLM_F_ACK, &link_head(0, false), format!("delete interface {name}"))
        .with(&Attributes::new().text(libc::IFLA_IFNAME, name).u32(libc::IFLA_GROUP, group))
}

/// Deletes all links of a group at once.
pub(crate) fn delete_group(group: u32) -> Message {
    Message::new(libc::RTM_DELLINK, libc::NLM_F_ACK, &link_head(0, false), "delete interfaces")
        .with(&Attributes::new().u32(libc::IFLA_GROUP, group))
}
