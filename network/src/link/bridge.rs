//! The bridge that the pods hang on.

use super::{CREATE, link_head};
use crate::config::Mac;
use crate::netlink::{Attributes, Message};

/// `IFLA_BR_FORWARD_DELAY` and `IFLA_BR_STP_STATE` of linux/if_link.h.
const FORWARD_DELAY: u16 = 1;
const STP_STATE: u16 = 5;

/// Makes the bridge. Its Ethernet address is set, because otherwise it would follow that of its lowest port and
/// the pods' neighbour tables would go stale with each pod that comes or goes. A port forwards at once: no
/// spanning tree, no delay.
pub(crate) fn create_bridge(name: &str, mac: Mac) -> Message {
    let settings = Attributes::new().u32(FORWARD_DELAY, 0).u32(STP_STATE, 0);
    let info = Attributes::new().text(libc::IFLA_INFO_KIND, "bridge").nest(libc::IFLA_INFO_DATA, settings);
    Message::new(libc::RTM_NEWLINK, CREATE, &link_head(0, true), format!("create bridge {name}")).with(
        &Attributes::new()
            .text(libc::IFLA_IFNAME, name)
            .bytes(libc::IFLA_ADDRESS, &mac.0)
            .nest(libc::IFLA_LINKINFO, info),
    )
}
