use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::config::Protocol;

fn mapping() -> impl Strategy<Value = PortMapping> {
    let ip = prop_oneof![
        Just(None),
        any::<u32>().prop_map(|bits| Some(IpAddr::V4(Ipv4Addr::from_bits(bits)))),
        any::<u128>().prop_map(|bits| Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))),
        Just(Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
    ];
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    (ip, 1u16.., 1u16.., protocol).prop_map(|(host_ip, host_port, container_port, protocol)| PortMapping {
        host_ip,
        host_port,
        container_port,
        protocol,
    })
}

proptest! {
    /// Keys and values have the length that the map declares, and fields stand in network byte order.
    #[test]
    fn elements_fit_their_maps(mapping in mapping(), v4: u32, v6: u128) {
        let ips = vec![IpAddr::V4(Ipv4Addr::from_bits(v4)), IpAddr::V6(Ipv6Addr::from_bits(v6))];
        let pod = PodPorts { ips, ports: vec![mapping.clone()] };
        let mut seen = 0;
        for of in [Family::Ip, Family::Ip6] {
            let address = of.address_length() as usize;
            for element in elements(of, &pod) {
                seen += 1;
                let bound = if element.map == BOUND_PORTS { address } else { 0 };
                prop_assert_eq!(element.key.len(), bound + 8);
                prop_assert_eq!(element.key[bound], mapping.protocol.number());
                prop_assert_eq!(&element.key[bound + 4..bound + 6], &mapping.host_port.to_be_bytes()[..]);
                prop_assert_eq!(element.data.len(), address + 4);
                prop_assert_eq!(&element.data[address..address + 2], &mapping.container_port.to_be_bytes()[..]);
            }
        }
        prop_assert_eq!(seen, if mapping.host_ip.is_none() { 2 } else { 1 });
    }
}
