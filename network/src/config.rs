//! What a caller says to this crate, and what it is told: settings, port mappings, attachments.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The settings of one pod network. Two networks whose settings differ in every field never meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Name of the bridge that the pods hang on; also names the nftables tables (`reeve_<bridge>`).
    pub bridge: String,
    /// Where the pods' IPv4 addresses come from. The first address is the bridge's own, the pods' gateway.
    pub subnet: Ipv4Net,
    /// With an IPv6 subnet each pod has two addresses.
    pub subnet6: Option<Ipv6Net>,
    /// Directory of the ledger of addresses and ports; survives a restart of the daemon.
    pub state_dir: PathBuf,
    /// Directory in which the pods' network namespaces are pinned, one file each, named after the pod.
    pub netns_dir: PathBuf,
    /// How many network namespaces are kept ready, so that a pod does not wait for one to be made.
    pub prepared: usize,
}

impl Config {
    /// The settings that most nodes keep: see [`Config::prepared`] for the one that is not named here.
    pub fn new(
        bridge: impl Into<String>,
        subnet: Ipv4Net,
        state_dir: impl Into<PathBuf>,
        netns_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            bridge: bridge.into(),
            subnet,
            subnet6: None,
            state_dir: state_dir.into(),
            netns_dir: netns_dir.into(),
            prepared: 2,
        }
    }
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// The protocol's number in the IP header (IANA's "assigned internet protocol numbers").
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port of the host that leads to a port of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Only on this address of the host; `None`, `0.0.0.0` and `::` mean on all.
    pub host_ip: Option<IpAddr>,
    /// Port on the host, not zero.
    pub host_port: u16,
    /// Port in the pod, not zero.
    pub container_port: u16,
    /// Which protocol's port.
    pub protocol: Protocol,
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip.filter(|ip| !ip.is_unspecified()) {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}/{}", self.host_port, self.protocol),
            Some(ip) => write!(f, "{ip}:{}/{}", self.host_port, self.protocol),
            None => write!(f, "{}/{}", self.host_port, self.protocol),
        }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A pod's place in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The pinned network namespace, to be entered with setns(2).
    pub netns: PathBuf,
    /// The pod's addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The host ports that lead to the pod.
    pub ports: Vec<PortMapping>,
    /// Ethernet address of the pod's `eth0`; a function of its IPv4 address.
    pub mac: Mac,
    /// The interface's name on the host's side.
    pub host_interface: String,
}
