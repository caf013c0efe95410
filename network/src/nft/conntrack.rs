//! Forgetting connections (linux/netfilter/nfnetlink_conntrack.h).
//!
//! A rewritten destination is decided by a connection's first packet. UDP has no last one: a peer that goes on
//! sending keeps its old entry alive, and with it the way to a pod that is gone, or past one that has just come.

use std::net::IpAddr;

use super::batch::head;
use super::ruleset::family;
use crate::config::{PortMapping, Protocol};
use crate::error::Result;
use crate::netlink::{Answer, Attributes, Message, Socket};

/// `IPCTNL_MSG_CT_GET` and `IPCTNL_MSG_CT_DELETE`
const GET: i32 = 1;
const DELETE: i32 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const FILTER: u16 = 25;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP4_SOURCE: u16 = 1;
const IP6_SOURCE: u16 = 3;
const PROTO_NUMBER: u16 = 1;
const PROTO_DESTINATION_PORT: u16 = 3;
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// Which fields of a tuple count in a filter (`CTA_FILTER_F_…` of the kernel's nf_internals.h).
const COUNT_IP_SOURCE: u32 = 1 << 0;
const COUNT_PROTO_NUMBER: u32 = 1 << 3;
const COUNT_DESTINATION_PORT: u32 = 1 << 5;
/// Length of `struct nfgenmsg`.
const HEAD: usize = 4;

/// Ends the tracking of what was opened to these host ports, for a pod that comes. Listing costs some milliseconds,
/// so only for the one protocol that needs it.
pub(crate) fn forget_ports(socket: &mut Socket, ips: &[IpAddr], ports: &[PortMapping]) -> Result<()> {
    for mapping in ports.iter().filter(|mapping| mapping.protocol == Protocol::Udp) {
        let family = |ip: &&IpAddr| mapping.host_ip.is_none_or(|host| host.is_ipv4() == ip.is_ipv4());
        for ip in ips.iter().filter(family) {
            delete(socket, &to_port(*ip, mapping), *ip)?;
        }
    }
    Ok(())
}

/// Ends the tracking of what is answered by these addresses, for a pod with such ports that goes.
pub(crate) fn forget_pod(socket: &mut Socket, ips: &[IpAddr], ports: &[PortMapping]) -> Result<()> {
    if ports.iter().any(|mapping| mapping.protocol == Protocol::Udp) {
        ips.iter().try_for_each(|ip| delete(socket, &from_pod(*ip), *ip))?;
    }
    Ok(())
}

/// Deletes what a listing finds, one by one: kernels before 6.8 cannot delete by a filter.
fn delete(socket: &mut Socket, question: &Message, ip: IpAddr) -> Result<()> {
    let deletion = |answer: &Answer| {
        let tuple = answer.attribute(HEAD, TUPLE_ORIGINAL)?;
        let id = answer.attribute(HEAD, ID)?;
        let nested = libc::NLA_F_NESTED as u16;
        let attributes = Attributes::new().bytes(TUPLE_ORIGINAL | nested, tuple.value).bytes(ID, id.value);
        Some(message(ip, DELETE, libc::NLM_F_ACK, question.what().to_owned(), &attributes))
    };
    let answers = socket.ask(question)?;
    for message in answers.iter().filter_map(deletion) {
        // The entry may end by itself in between.
        match socket.send_all(&[message]) {
            Err(error) if error.errno() != Some(libc::ENOENT) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Lists connections whose answers come from this address.
fn from_pod(ip: IpAddr) -> Message {
    let source = match ip {
        IpAddr::V4(ip) => Attributes::new().bytes(IP4_SOURCE, &ip.octets()),
        IpAddr::V6(ip) => Attributes::new().bytes(IP6_SOURCE, &ip.octets()),
    };
    let attributes = Attributes::new()
        .nest(TUPLE_REPLY, Attributes::new().nest(TUPLE_IP, source))
        .nest(FILTER, filter(0, COUNT_IP_SOURCE));
    message(ip, GET, libc::NLM_F_DUMP, format!("forget connections to {ip}"), &attributes)
}

/// Lists connections that were opened to this port, of the family of `ip`.
fn to_port(ip: IpAddr, mapping: &PortMapping) -> Message {
    let proto = Attributes::new()
        .u8(PROTO_NUMBER, mapping.protocol.number())
        .bytes(PROTO_DESTINATION_PORT, &mapping.host_port.to_be_bytes());
    let attributes = Attributes::new()
        .nest(TUPLE_ORIGINAL, Attributes::new().nest(TUPLE_PROTO, proto))
        .nest(FILTER, filter(COUNT_PROTO_NUMBER | COUNT_DESTINATION_PORT, 0));
    message(ip, GET, libc::NLM_F_DUMP, format!("forget connections to host port {mapping}"), &attributes)
}

fn filter(original: u32, reply: u32) -> Attributes {
    Attributes::new().u32(FILTER_ORIGINAL, original).u32(FILTER_REPLY, reply)
}

fn message(ip: IpAddr, kind: i32, flags: i32, what: String, attributes: &Attributes) -> Message {
    let kind = (libc::NFNL_SUBSYS_CTNETLINK << 8 | kind) as u16;
    Message::new(kind, flags, &head(family(ip).number(), 0), what).with(attributes)
}
