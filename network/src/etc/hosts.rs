//! /etc/hosts (hosts(5)) and /etc/hostname (hostname(5)).

use std::fmt::Write;
use std::net::IpAddr;

/// The lines that every pod has.
const LOCAL: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// The contents of a pod's /etc/hosts: the local names, the pod's own name under each of its addresses, then the
/// aliases that its manifest asks for.
pub fn hosts(hostname: &str, ips: &[IpAddr], aliases: &[(IpAddr, Vec<String>)]) -> String {
    let mut text = LOCAL.to_owned();
    for ip in ips {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{ip}\t{hostname}");
    }
    for (ip, names) in aliases.iter().filter(|(_, names)| !names.is_empty()) {
        let _ = writeln!(text, "{ip}\t{}", names.join("\t"));
    }
    text
}

/// The contents of /etc/hostname.
pub fn hostname(hostname: &str) -> String {
    format!("{hostname}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_itself_and_its_aliases() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let aliases =
            [(ip("192.0.2.7"), vec!["db".to_owned(), "db.local".to_owned()]), (ip("192.0.2.8"), vec![])];
        let text = hosts("web-0", &[ip("10.88.0.2"), ip("fd00::2")], &aliases);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("10.88.0.2\tweb-0\nfd00::2\tweb-0\n192.0.2.7\tdb\tdb.local\n"));
        assert_eq!(hostname("web-0"), "web-0\n");
    }
}
