//! resolv.conf (resolv.conf(5)): read from the host, written for a pod.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

/// Where the host's name servers stand, best first. The first is what the host's own programs use; where it names
/// only a server on the host's loopback (a stub), the others are where that stub's owner writes the real ones:
/// systemd-resolved (systemd-resolved.service(8)), NetworkManager, and resolvconf's dnsmasq.
const HOST_FILES: [&str; 4] = [
    "etc/resolv.conf",
    "run/systemd/resolve/resolv.conf",
    "run/NetworkManager/no-stub-resolv.conf",
    "run/dnsmasq/resolv.conf",
];

/// Settings of name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Addresses of name servers, in the order in which they are asked.
    pub servers: Vec<String>,
    /// Domains that are tried after a short name.
    pub searches: Vec<String>,
    /// `ndots:5` and the like.
    pub options: Vec<String>,
}

impl Dns {
    /// Reads a resolv.conf. The last `search` or `domain` line counts, options add up, the rest is ignored.
    pub fn parse(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => dns.servers.extend(words.next()),
                Some("search" | "domain") => dns.searches = words.filter(|word| word != ".").collect(),
                Some("options") => dns.options.extend(words),
                _ => {}
            }
        }
        dns
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Without servers on the loopback: in a pod that is the pod's own.
    fn reachable(mut self) -> Self {
        let loopback = |server: &String| {
            let bare = server.split('%').next().unwrap_or_default();
            bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        };
        self.servers.retain(|server| !loopback(server));
        self
    }
}

/// The host's settings as a pod can use them. `root` is the host's `/`. A pod on the host's network takes
/// /etc/resolv.conf as it stands; another the first file with a server that it can reach. Where there is none, the
/// searches and options of /etc/resolv.conf come without a server.
pub fn host_dns(root: &Path, host_network: bool) -> Dns {
    let read = |file: &&str| std::fs::read_to_string(root.join(file)).ok().map(|text| Dns::parse(&text));
    let own = read(&HOST_FILES[0]).unwrap_or_default();
    if host_network {
        return own;
    }
    let usable = HOST_FILES.iter().filter_map(read).map(Dns::reachable).find(|dns| !dns.servers.is_empty());
    usable.unwrap_or_else(|| own.reachable())
}

/// The contents of a resolv.conf with these settings.
pub fn resolv_conf(dns: &Dns) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    for (word, values) in [("search", &dns.searches), ("options", &dns.options)] {
        if !values.is_empty() {
            let _ = writeln!(text, "{word} {}", values.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn what_is_read_is_written() {
        let text = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions ndots:5 edns0\n";
        assert_eq!(resolv_conf(&Dns::parse(text)), text);
        let messy =
            "; made by hand\ndomain old\n\tsearch  a.example . \nnameserver  192.0.2.1 # first\nbogus\n";
        assert_eq!(resolv_conf(&Dns::parse(messy)), "nameserver 192.0.2.1\nsearch a.example\n");
    }

    #[test]
    fn a_stub_is_replaced_by_what_stands_behind_it() {
        let root = host(&[
            (HOST_FILES[0], "nameserver 127.0.0.53\noptions edns0\nsearch lan\n"),
            (HOST_FILES[1], "nameserver 192.0.2.53\nnameserver fe80::1%eth0\nsearch lan\n"),
        ]);
        let dns = host_dns(root.path(), false);
        assert_eq!(dns.servers, ["192.0.2.53", "fe80::1%eth0"]);
        assert_eq!(host_dns(root.path(), true).servers, ["127.0.0.53"]);
    }

    #[test]
    fn loopback_servers_are_left_out() {
        let own = "nameserver ::1\nnameserver 127.0.0.1\nnameserver ::ffff:127.0.0.1\nnameserver 192.0.2.1\n";
        let root = host(&[(HOST_FILES[0], own), (HOST_FILES[1], "nameserver 192.0.2.53\n")]);
        assert_eq!(host_dns(root.path(), false).servers, ["192.0.2.1"]);
    }

    #[test]
    fn without_any_server_the_rest_stays() {
        let root = host(&[(HOST_FILES[0], "nameserver 127.0.0.1\nsearch lan\n")]);
        assert_eq!(host_dns(root.path(), false), Dns { searches: vec!["lan".to_owned()], ..Dns::default() });
        assert!(host_dns(host(&[]).path(), false).is_empty());
    }
}
