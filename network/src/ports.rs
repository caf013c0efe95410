//! Which host ports exclude each other. Pure.

use std::net::IpAddr;

use crate::config::PortMapping;
use crate::error::{Error, Result};

/// Whether two mappings would claim the same packets.
fn overlap(a: &PortMapping, b: &PortMapping) -> bool {
    let same_hosts = match (a.host_ip, b.host_ip) {
        (None, _) | (_, None) => true,
        (Some(a), Some(b)) => {
            a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())
        }
    };
    a.protocol == b.protocol && a.host_port == b.host_port && same_hosts
}

/// Checks the mappings of a pod with these addresses by themselves.
pub(crate) fn check(id: &str, ips: &[IpAddr], ports: &[PortMapping]) -> Result<()> {
    for (index, mapping) in ports.iter().enumerate() {
        let refuse = |reason| Err(Error::Mapping { id: id.to_owned(), mapping: mapping.to_string(), reason });
        if mapping.host_port == 0 || mapping.container_port == 0 {
            return refuse("a port is between 1 and 65535");
        }
        if ports[..index].iter().any(|earlier| overlap(earlier, mapping)) {
            return refuse("is asked for twice");
        }
        if let Some(ip) = mapping.host_ip
            && !ips.iter().any(|own| own.is_ipv4() == ip.is_ipv4())
        {
            return Err(Error::NoSuchFamily { id: id.to_owned(), ip });
        }
    }
    Ok(())
}

/// Checks the mappings against those of other pods.
pub(crate) fn check_free<'a>(
    wanted: &[PortMapping],
    others: impl Iterator<Item = (&'a str, &'a [PortMapping])>,
) -> Result<()> {
    for (holder, ports) in others {
        let clash = wanted.iter().find(|mapping| ports.iter().any(|held| overlap(held, mapping)));
        if let Some(mapping) = clash {
            return Err(Error::PortTaken { mapping: mapping.to_string(), holder: holder.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;

    fn tcp(host_ip: Option<&str>, host_port: u16) -> PortMapping {
        let host_ip = host_ip.map(|ip| ip.parse().expect("an address"));
        PortMapping { host_ip, host_port, container_port: 80, protocol: Protocol::Tcp }
    }

    #[test]
    fn who_excludes_whom() {
        let cases = [
            (tcp(None, 80), tcp(None, 80), true),
            (tcp(None, 80), tcp(None, 81), false),
            (tcp(None, 80), tcp(Some("192.0.2.1"), 80), true),
            (tcp(Some("0.0.0.0"), 80), tcp(Some("192.0.2.1"), 80), true),
            (tcp(Some("0.0.0.0"), 80), tcp(Some("::1"), 80), false),
            (tcp(Some("::"), 80), tcp(Some("0.0.0.0"), 80), false),
            (tcp(Some("192.0.2.1"), 80), tcp(Some("192.0.2.2"), 80), false),
            (tcp(Some("127.0.0.1"), 80), tcp(Some("127.0.0.1"), 80), true),
        ];
        for (a, b, expected) in cases {
            assert_eq!(overlap(&a, &b), expected, "{a} and {b}");
            assert_eq!(overlap(&b, &a), expected, "{b} and {a}");
        }
        let udp = PortMapping { protocol: Protocol::Udp, ..tcp(None, 80) };
        assert!(!overlap(&udp, &tcp(None, 80)));
    }

    #[test]
    fn errors_name_the_port_and_its_holder() {
        let held = [tcp(None, 8080)];
        let error = check_free(&[tcp(Some("127.0.0.1"), 8080)], [("web-1", &held[..])].into_iter());
        let text = error.expect_err("taken").to_string();
        assert_eq!(text, "host port 127.0.0.1:8080/tcp is taken by pod web-1");

        let ips = ["10.0.0.2".parse().expect("an address")];
        let text = |ports: &[PortMapping]| check("a", &ips, ports).expect_err("refused").to_string();
        assert_eq!(text(&[tcp(None, 0)]), "host port 0/tcp of pod a: a port is between 1 and 65535");
        assert_eq!(text(&[tcp(None, 1), tcp(None, 1)]), "host port 1/tcp of pod a: is asked for twice");
        assert_eq!(text(&[tcp(Some("::1"), 1)]), "pod a has no address of the kind of ::1");
    }
}
