//! A pod's `/etc/hosts`, as the kubelet writes it.

use std::fmt::Write;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::hostname;

/// The text of the file; `None` where the pod is on the host's network and adds nothing, so sees the host's.
pub(crate) fn etc_hosts(pod: &Pod, ips: &[IpAddr]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let aliases = spec.host_aliases.as_deref().unwrap_or_default();
    let mut text = if spec.host_network == Some(true) {
        if aliases.is_empty() {
            return None;
        }
        std::fs::read_to_string("/etc/hosts").unwrap_or_default()
    } else {
        let mut text = String::from(
            "# Written by reeve for this pod.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
        );
        for ip in ips {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{ip}\t{}", hostname(pod));
        }
        text
    };
    for alias in aliases {
        let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t"));
    }
    Some(text)
}
