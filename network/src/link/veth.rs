//! The pair of interfaces between the bridge and a pod.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{CREATE, link_head};
use crate::config::Mac;
use crate::netlink::{Attributes, Message};

/// The name of the pod's end, as everywhere in the field.
pub(crate) const POD_INTERFACE: &str = "eth0";

/// `VETH_INFO_PEER` of linux/veth.h.
const PEER: u16 = 1;
/// `IFLA_BRPORT_MODE` of linux/if_link.h: hairpin.
const HAIRPIN: u16 = 4;

/// The Ethernet address of whoever has this IPv4 address. A pod that takes over an address takes over the Ethernet
/// address too, so nobody's neighbour table goes stale. 0a:58 is locally administered.
pub(crate) fn mac_of(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    Mac([0x0a, 0x58, a, b, c, d])
}

/// The name of the host's end: a function of the address, so that it can be found again without being written down.
pub(crate) fn host_interface(ip: Ipv4Addr) -> String {
    format!("rv{:08x}", ip.to_bits())
}

/// Makes the pair: one end a port of the bridge, the other `eth0` in the pod's namespace. The
/// first is up, the second is for whoever works in that namespace.
pub(crate) fn create_veth(name: &str, bridge: u32, netns: BorrowedFd<'_>, mac: Mac) -> Message {
    let attributes = Attributes::new()
        .text(libc::IFLA_IFNAME, POD_INTERFACE)
        .bytes(libc::IFLA_ADDRESS, &mac.0)
        .u32(libc::IFLA_NET_NS_FD, netns.as_raw_fd() as u32);
    // The kernel cannot set the second end up before it is joined with the first (ENOTCONN).
    let mut peer = link_head(0, false).to_vec();
    peer.extend_from_slice(attributes.as_bytes());
    let data = Attributes::new().bytes(PEER, &peer);
    let info = Attributes::new().text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, data);
    Message::new(libc::RTM_NEWLINK, CREATE, &link_head(0, true), format!("create interface {name}")).with(
        &Attributes::new()
            .text(libc::IFLA_IFNAME, name)
            .u32(libc::IFLA_MASTER, bridge)
            .nest(libc::IFLA_LINKINFO, info),
    )
}

/// What can only be said of a port that exists: whose it is (shown by `ip link`), and that a frame may leave by the
/// port it came in by. Where br_netfilter runs the IP rules on bridged frames, a pod that reaches its own host port
/// needs that; elsewhere such a frame takes the way through the host's IP layer.
pub(crate) fn set_port(name: &str, alias: &str) -> Message {
    let port = Attributes::new().u8(HAIRPIN, 1);
    let info =
        Attributes::new().text(libc::IFLA_INFO_SLAVE_KIND, "bridge").nest(libc::IFLA_INFO_SLAVE_DATA, port);
    let what = format!("set up bridge port {name}");
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &link_head(0, false), what).with(
        &Attributes::new()
            .text(libc::IFLA_IFNAME, name)
            .bytes(libc::IFLA_IFALIAS, alias.as_bytes())
            .nest(libc::IFLA_LINKINFO, info),
    )
}
