//! Which address a pod gets. Pure: what is in use is given, and so is where to go on.
//!
//! A pod has a *slot*, a number; its IPv4 address is that many after the start of the subnet, and its IPv6 address
//! likewise, so that one allocation serves both families and cannot half succeed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{Error, Result};

/// The slot of the bridge's own address.
const GATEWAY: u32 = 1;

/// The addresses of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    subnet: Ipv4Net,
    subnet6: Option<Ipv6Net>,
    /// The highest slot that a pod can have.
    last: u32,
}

impl Plan {
    /// The plan for these subnets, or why they cannot serve.
    pub(crate) fn new(subnet: Ipv4Net, subnet6: Option<Ipv6Net>) -> Result<Self> {
        let refuse = |setting, reason: String| Err(Error::Setting { setting, reason });
        if subnet.prefix_len() > 30 || subnet.prefix_len() < 8 {
            return refuse("subnet", format!("{subnet} must have a prefix between 8 and 30"));
        }
        if subnet.addr().is_loopback() || subnet.addr().is_multicast() || subnet.addr().is_unspecified() {
            return refuse("subnet", format!("{subnet} is not for hosts"));
        }
        if let Some(net) = subnet6 {
            if net.prefix_len() > subnet.prefix_len() + 96 {
                return refuse("subnet6", format!("{net} has fewer addresses than {subnet}"));
            }
            if net.addr().is_loopback() || net.addr().is_multicast() {
                return refuse("subnet6", format!("{net} is not for hosts"));
            }
        }
        let subnet = subnet.trunc();
        let size = 1u32 << (32 - u32::from(subnet.prefix_len()));
        // The very last address is the subnet's broadcast.
        Ok(Self { subnet, subnet6: subnet6.map(|net| net.trunc()), last: size - 2 })
    }

    /// The subnets, IPv4 first.
    pub(crate) fn subnets(&self) -> Vec<IpNet> {
        std::iter::once(IpNet::V4(self.subnet)).chain(self.subnet6.map(IpNet::V6)).collect()
    }

    /// How many pods it has room for.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.last - GATEWAY)
    }

    /// The next slot after `after` that is free, going round. An address that was given back is thus the last to
    /// be given out again: whoever still talks to it does not reach another pod.
    pub(crate) fn next(&self, after: u32, used: impl Fn(u32) -> bool) -> Result<u32> {
        let first = GATEWAY + 1;
        let start = if (first..self.last).contains(&after) { after + 1 } else { first };
        (start..=self.last)
            .chain(first..start)
            .find(|slot| !used(*slot))
            .ok_or_else(|| Error::Exhausted { subnet: self.subnet.to_string(), size: self.size() })
    }

    /// The IPv4 address of a slot.
    pub(crate) fn ip4(&self, slot: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet.network().to_bits() + slot)
    }

    /// The addresses of a slot, IPv4 first.
    pub(crate) fn ips(&self, slot: u32) -> Vec<IpAddr> {
        self.nets(slot).into_iter().map(|net| net.addr()).collect()
    }

    /// The addresses of the bridge, the pods' gateways.
    pub(crate) fn gateways(&self) -> Vec<IpNet> {
        self.nets(GATEWAY)
    }

    /// The addresses of a slot with their subnets' prefixes, IPv4 first.
    pub(crate) fn nets(&self, slot: u32) -> Vec<IpNet> {
        let four = Ipv4Net::new_assert(self.ip4(slot), self.subnet.prefix_len());
        let six = self.subnet6.map(|net| {
            let ip = Ipv6Addr::from_bits(net.network().to_bits() + u128::from(slot));
            Ipv6Net::new_assert(ip, net.prefix_len())
        });
        std::iter::once(IpNet::V4(four)).chain(six.map(IpNet::V6)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn plan(text: &str) -> Plan {
        Plan::new(text.parse().expect("a subnet"), Some("fd00:1::/64".parse().expect("a subnet")))
            .expect("a plan")
    }

    #[test]
    fn the_smallest_subnet_has_one_pod() {
        let plan = plan("192.0.2.4/30");
        assert_eq!(plan.size(), 1);
        assert_eq!(plan.gateways()[0].to_string(), "192.0.2.5/30");
        let slot = plan.next(0, |_| false).expect("a slot");
        assert_eq!(plan.nets(slot)[0].to_string(), "192.0.2.6/30");
        assert_eq!(plan.nets(slot)[1].to_string(), "fd00:1::2/64");
        let error = plan.next(slot, |_| true).expect_err("none left");
        assert_eq!(error.to_string(), "no free address in 192.0.2.4/30: all 1 are in use");
    }

    #[test]
    fn subnets_that_cannot_serve() {
        for text in ["10.0.0.0/31", "10.0.0.0/32", "0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/24"] {
            assert!(Plan::new(text.parse().expect("a subnet"), None).is_err(), "{text}");
        }
        let small6 = Some("fd00::/126".parse().expect("a subnet"));
        assert!(Plan::new("10.0.0.0/24".parse().expect("a subnet"), small6).is_err());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take,
        Give(prop::sample::Index),
    }

    proptest! {
        /// No address is given out twice, none is outside, none that was given back returns before all others
        /// had their turn, and the pool is exhausted exactly when it is full.
        #[test]
        fn addresses_are_unique_and_go_round(
            prefix in 26u8..=30,
            steps in proptest::collection::vec(
                prop_oneof![3 => Just(Step::Take), 2 => any::<prop::sample::Index>().prop_map(Step::Give)], 0..300),
        ) {
            let plan = plan(&format!("10.9.8.0/{prefix}"));
            let subnet: IpNet = format!("10.9.8.0/{prefix}").parse().expect("a subnet");
            let (mut used, mut last) = (BTreeSet::new(), 0);
            for step in steps {
                match step {
                    Step::Take => match plan.next(last, |slot| used.contains(&slot)) {
                        Ok(slot) => {
                            prop_assert!(used.insert(slot));
                            let ip = plan.ips(slot)[0];
                            prop_assert!(subnet.contains(&ip) && ip != plan.gateways()[0].addr());
                            prop_assert!(ip != subnet.network() && ip != subnet.broadcast());
                            // Everything between the last and this one, going round, is in use.
                            let between = (last + 1..=plan.last).chain(GATEWAY + 1..=last);
                            let skipped = between.skip_while(|s| *s <= GATEWAY).take_while(|s| *s != slot);
                            prop_assert!(skipped.into_iter().all(|s| used.contains(&s)));
                            last = slot;
                        }
                        Err(_) => prop_assert_eq!(used.len() as u64, plan.size()),
                    },
                    Step::Give(index) => {
                        if !used.is_empty() {
                            let slot = *index.get(&used.iter().copied().collect::<Vec<_>>());
                            used.remove(&slot);
                        }
                    }
                }
            }
        }
    }
}
