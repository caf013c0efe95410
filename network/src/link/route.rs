//! Routes.

use std::net::IpAddr;

use super::REPLACE;
use super::address::{family, octets};
use crate::netlink::{Attributes, Message};

/// The way out of a pod (`struct rtmsg`, rtnetlink(7)); replaces the one that is there.
pub(crate) fn add_default_route(link: u32, gateway: IpAddr) -> Message {
    let head = [
        family(gateway),
        0, // length of the destination's prefix: everywhere
        0,
        0,
        libc::RT_TABLE_MAIN,
        libc::RTPROT_STATIC,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
        0,
        0,
        0,
        0,
    ];
    Message::new(libc::RTM_NEWROUTE, REPLACE, &head, format!("add default route by {gateway}"))
        .with(&Attributes::new().bytes(libc::RTA_GATEWAY, &octets(gateway)).u32(libc::RTA_OIF, link))
}
