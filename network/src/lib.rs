//! Pod networks: a bridge, addresses, network namespaces, host ports.
//!
//! # Who does what
//! [`Network`] is the face. Behind it one thread does everything to the kernel, in order, over two netlink sockets
//! that stay open; callers wait for its answers. A second thread makes network namespaces ahead (they cost about
//! half a millisecond), and holds them by descriptors only. A third deletes interfaces, many at once.
//!
//! # Who owns which state
//! - `<state_dir>/ledger.json`: who has which address and host ports, and whether all of it was made. Written
//!   before the deed and after it; the one source of truth.
//! - `<netns_dir>/<id>`: the pod's network namespace, pinned by a bind mount.
//! - the kernel: the bridge with a port for each pod (`rv` and the pod's address in hexadecimal, the pod's id as its
//!   alias), the nftables tables `ip reeve_<bridge>` and `ip6 reeve_<bridge>`, the settings `ip_forward` and, on the
//!   bridge alone, `route_localnet`.
//!
//! Nothing else is touched, so networks with different settings live side by side.
//!
//! # What reaches what
//! Pods reach each other over the bridge, the host by its own addresses, and the world masqueraded. A host port is
//! reached from outside, from the host itself (its addresses and 127.0.0.1; not ::1, which no kernel routes), from
//! other pods and from the pod itself by the host's address. A pod that comes by a host port is seen with the
//! bridge's address; everybody from outside with their own.

mod addresses;
mod bridge;
mod config;
mod error;
pub mod etc;
mod ledger;
mod link;
mod netlink;
mod netns;
mod network;
mod nft;
mod pool;
mod ports;
mod remover;
mod sysctl;
mod worker;

pub use config::{Attachment, Config, Mac, PortMapping, Protocol};
pub use error::{Error, Result};
pub use ipnet::{Ipv4Net, Ipv6Net};
pub use network::Network;
