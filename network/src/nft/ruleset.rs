//! What this crate wants in the kernel: one table per address family, and in it two maps.
//!
//! ```text
//! table ip reeve_reeve0 {
//!     map ports       { type inet_proto . inet_service : ipv4_addr . inet_service }
//!     map bound_ports { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!     chain host_ports {
//!         dnat to ip daddr . meta l4proto . th dport map @bound_ports
//!         dnat to meta l4proto . th dport map @ports
//!     }
//!     chain guard       { type filter hook prerouting priority raw
//!                         iifname "reeve0" ip saddr 127.0.0.0/8 drop
//!                         iifname "reeve0" ip daddr 127.0.0.0/8 drop }
//!     chain prerouting  { type nat hook prerouting priority dstnat; fib daddr type local jump host_ports }
//!     chain output      { type nat hook output priority dstnat; fib daddr type local jump host_ports }
//!     chain postrouting { type nat hook postrouting priority srcnat
//!                         ip saddr SUBNET ip daddr != SUBNET ip daddr != 224.0.0.0/4 masquerade
//!                         ip saddr SUBNET ip daddr SUBNET ct status dnat masquerade
//!                         oifname "reeve0" ip saddr 127.0.0.0/8 masquerade }
//! }
//! ```
//!
//! A pod costs an element per host port, and a packet one lookup, however many pods there are. `guard` is the price
//! of `route_localnet` (host ports on 127.0.0.1): no pod may speak to the host's own loopback by it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::batch::Batch;
use super::object::{Family, Hook, Map, Table, Type};
use super::rule::{KEY, Rule, Verdict};
use crate::config::PortMapping;

const PORTS: &str = "ports";
const BOUND_PORTS: &str = "bound_ports";
const PORTS_ID: u32 = 1;
const BOUND_PORTS_ID: u32 = 2;
const HOST_PORTS: &str = "host_ports";

/// Priorities of linux/netfilter_ipv4.h.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;

/// The host ports of one pod, and the addresses to which they lead.
#[derive(Clone, Debug)]
pub(crate) struct PodPorts {
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) ports: Vec<PortMapping>,
}

/// The rules of one network.
#[derive(Clone, Debug)]
pub(crate) struct Ruleset {
    bridge: String,
    subnets: Vec<IpNet>,
}

/// An element of one of the maps.
struct Element {
    map: &'static str,
    key: Vec<u8>,
    data: Vec<u8>,
    words: String,
}

impl Ruleset {
    /// The rules for a bridge with one subnet for each family that the pods have.
    pub(crate) fn new(bridge: &str, subnets: Vec<IpNet>) -> Self {
        Self { bridge: bridge.to_owned(), subnets }
    }

    /// Makes the kernel have exactly the rules and these pods' ports, whatever was there.
    pub(crate) fn replace<'a>(&self, pods: impl Iterator<Item = &'a PodPorts> + Clone) -> Batch {
        let mut batch = Batch::new();
        for subnet in &self.subnets {
            let table = self.table(family(subnet.addr()));
            table.create(&mut batch);
            table.delete(&mut batch);
            table.create(&mut batch);
            self.maps(&mut batch, &table);
            self.host_ports(&mut batch, &table);
            self.guard(&mut batch, &table);
            self.entrances(&mut batch, &table);
            self.postrouting(&mut batch, &table, subnet);
        }
        pods.for_each(|pod| self.add_to(&mut batch, pod));
        batch
    }

    /// Adds a pod's ports.
    pub(crate) fn add(&self, pod: &PodPorts) -> Batch {
        let mut batch = Batch::new();
        self.add_to(&mut batch, pod);
        batch
    }

    /// Takes a pod's ports away.
    pub(crate) fn remove(&self, pod: &PodPorts) -> Batch {
        let mut batch = Batch::new();
        for subnet in &self.subnets {
            let table = self.table(family(subnet.addr()));
            for element in elements(table.family, pod) {
                table.delete_element(&mut batch, element.map, &element.key, &element.words);
            }
        }
        batch
    }

    /// Deletes the tables; well if there are none.
    pub(crate) fn delete(&self) -> Batch {
        let mut batch = Batch::new();
        for subnet in &self.subnets {
            let table = self.table(family(subnet.addr()));
            table.create(&mut batch);
            table.delete(&mut batch);
        }
        batch
    }

    fn table(&self, family: Family) -> Table {
        Table { family, name: format!("reeve_{}", self.bridge) }
    }

    fn add_to(&self, batch: &mut Batch, pod: &PodPorts) {
        for subnet in &self.subnets {
            let table = self.table(family(subnet.addr()));
            for element in elements(table.family, pod) {
                table.add_element(batch, element.map, &element.key, &element.data, &element.words);
            }
        }
    }

    fn maps(&self, batch: &mut Batch, table: &Table) {
        let address = Type::Address(table.family);
        let data = &[address, Type::Port];
        table.map(batch, Map { name: PORTS, key: &[Type::Protocol, Type::Port], data }, PORTS_ID);
        let key = &[address, Type::Protocol, Type::Port];
        table.map(batch, Map { name: BOUND_PORTS, key, data }, BOUND_PORTS_ID);
    }

    fn host_ports(&self, batch: &mut Batch, table: &Table) {
        let family = table.family;
        table.chain(batch, HOST_PORTS, None);
        let protocol = KEY + family.address_length() / 4;
        let bound = Rule::new(family)
            .destination(KEY)
            .meta(libc::NFT_META_L4PROTO, protocol)
            .destination_port(protocol + 1)
            .look_up(BOUND_PORTS, BOUND_PORTS_ID)
            .rewrite_destination();
        table.rule(batch, HOST_PORTS, bound);
        let any = Rule::new(family)
            .meta(libc::NFT_META_L4PROTO, KEY)
            .destination_port(KEY + 1)
            .look_up(PORTS, PORTS_ID)
            .rewrite_destination();
        table.rule(batch, HOST_PORTS, any);
    }

    fn guard(&self, batch: &mut Batch, table: &Table) {
        // IPv6 has no route_localnet: the kernel itself drops ::1 that comes from outside.
        if table.family == Family::Ip6 {
            return;
        }
        table.chain(
            batch,
            "guard",
            Some(Hook { kind: "filter", number: libc::NF_INET_PRE_ROUTING, priority: RAW }),
        );
        let from_pods = || Rule::new(Family::Ip).interface(libc::NFT_META_IIFNAME, &self.bridge);
        let loopback =
            |rule: Rule| rule.and(KEY, &[255, 0, 0, 0]).equal(KEY, &[127, 0, 0, 0]).verdict(Verdict::Drop);
        table.rule(batch, "guard", loopback(from_pods().source(KEY)));
        table.rule(batch, "guard", loopback(from_pods().destination(KEY)));
    }

    fn entrances(&self, batch: &mut Batch, table: &Table) {
        let hooks = [("prerouting", libc::NF_INET_PRE_ROUTING), ("output", libc::NF_INET_LOCAL_OUT)];
        for (name, number) in hooks {
            table.chain(batch, name, Some(Hook { kind: "nat", number, priority: DESTINATION_NAT }));
            let mut rule = Rule::new(table.family);
            if table.family == Family::Ip6 {
                // ::1 cannot be routed to a pod; so it stays refused, and callers go on to 127.0.0.1.
                let mut loopback = [0; 16];
                loopback[15] = 1;
                rule = rule.destination(KEY).differs(KEY, &loopback);
            }
            table.rule(batch, name, rule.destined_here().verdict(Verdict::Jump(HOST_PORTS)));
        }
    }

    fn postrouting(&self, batch: &mut Batch, table: &Table, subnet: &IpNet) {
        let name = "postrouting";
        let hook = Hook { kind: "nat", number: libc::NF_INET_POST_ROUTING, priority: SOURCE_NAT };
        table.chain(batch, name, Some(hook));

        let (mask, net) = (octets(subnet.netmask()), octets(subnet.network()));
        let from_pod = || Rule::new(table.family).source(KEY).and(KEY, &mask).equal(KEY, &net);
        let outward = from_pod().destination(KEY).and(KEY, &mask).differs(KEY, &net).destination(KEY);
        let outward = match table.family {
            Family::Ip => outward.and(KEY, &[240, 0, 0, 0]).differs(KEY, &[224, 0, 0, 0]),
            Family::Ip6 => outward.and(KEY, &prefix6(0xff)).differs(KEY, &prefix6(0xff)),
        };
        table.rule(batch, name, outward.masquerade());

        // A pod that reached another, or itself, by a host port: the answer has to come back this way.
        let between = from_pod().destination(KEY).and(KEY, &mask).equal(KEY, &net);
        table.rule(batch, name, between.rewritten().masquerade());

        if table.family == Family::Ip {
            let from_loopback = Rule::new(Family::Ip)
                .interface(libc::NFT_META_OIFNAME, &self.bridge)
                .source(KEY)
                .and(KEY, &[255, 0, 0, 0])
                .equal(KEY, &[127, 0, 0, 0]);
            table.rule(batch, name, from_loopback.masquerade());
        }
    }
}

pub(crate) fn family(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::Ip } else { Family::Ip6 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Sixteen bytes of which the first is this one.
fn prefix6(first: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = first;
    bytes
}

/// The elements of a pod in the maps of one family.
fn elements(of: Family, pod: &PodPorts) -> Vec<Element> {
    let Some(to) = pod.ips.iter().copied().find(|ip| family(*ip) == of) else {
        return Vec::new();
    };
    let wanted = |mapping: &&PortMapping| mapping.host_ip.is_none_or(|ip| family(ip) == of);
    pod.ports.iter().filter(wanted).map(|mapping| element(mapping, to)).collect()
}

fn element(mapping: &PortMapping, to: IpAddr) -> Element {
    let port = |port: u16| {
        let [high, low] = port.to_be_bytes();
        [high, low, 0, 0]
    };
    let bound = mapping.host_ip.filter(|ip| !ip.is_unspecified());
    let mut key = bound.map(octets).unwrap_or_default();
    key.extend_from_slice(&[mapping.protocol.number(), 0, 0, 0]);
    key.extend_from_slice(&port(mapping.host_port));
    let mut data = octets(to);
    data.extend_from_slice(&port(mapping.container_port));
    let map = if bound.is_some() { BOUND_PORTS } else { PORTS };
    Element { map, key, data, words: format!("host port {mapping}") }
}

#[cfg(test)]
#[path = "ruleset_tests.rs"]
mod tests;
