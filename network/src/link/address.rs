//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;

use super::REPLACE;
use crate::error::Result;
use crate::netlink::{Answer, Attributes, Message, Socket};

/// Length of `struct ifaddrmsg` (rtnetlink(7)).
const HEAD: usize = 8;
/// `IFA_FLAGS` of linux/if_addr.h.
const FLAGS: u16 = 8;

/// An address that a link has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: u32,
    pub(crate) net: IpNet,
}

/// The bytes of an address, as they go over the wire.
pub(super) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(super) fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

/// Gives a link an address; well if it has it. An IPv6 address is usable at once: nobody else can have it, since
/// this crate alone gives addresses out on its bridge, so there is nothing to detect.
pub(crate) fn add_address(link: u32, name: &str, net: IpNet) -> Message {
    let mut head = [family(net.addr()), net.prefix_len(), 0, 0, 0, 0, 0, 0];
    head[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut attributes = Attributes::new()
        .bytes(libc::IFA_LOCAL, &octets(net.addr()))
        .bytes(libc::IFA_ADDRESS, &octets(net.addr()));
    match net {
        IpNet::V4(net) => attributes = attributes.bytes(libc::IFA_BROADCAST, &net.broadcast().octets()),
        IpNet::V6(_) => attributes = attributes.u32(FLAGS, libc::IFA_F_NODAD),
    }
    Message::new(libc::RTM_NEWADDR, REPLACE, &head, format!("add address {net} to {name}")).with(&attributes)
}

/// All addresses of the socket's namespace.
pub(crate) fn addresses(socket: &mut Socket) -> Result<Vec<Address>> {
    let message = Message::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; HEAD], "list addresses");
    Ok(socket.ask(&message)?.iter().filter_map(read).collect())
}

fn read(answer: &Answer) -> Option<Address> {
    let head: [u8; HEAD] = answer.head()?;
    let value =
        answer.attribute(HEAD, libc::IFA_LOCAL).or_else(|| answer.attribute(HEAD, libc::IFA_ADDRESS))?.value;
    let ip = match value.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
    };
    let link = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    Some(Address { link, net: IpNet::new(ip, head[1]).ok()? })
}
