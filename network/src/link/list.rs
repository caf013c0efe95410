//! Which links there are.

use super::link_head;
use crate::error::Result;
use crate::netlink::{Answer, Attributes, Message, Socket, attributes};

/// Length of `struct ifinfomsg`.
const HEAD: usize = 16;

/// A link, as far as this crate looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// "bridge", "veth"; hardware has none.
    pub(crate) kind: Option<String>,
    /// The bridge that it is a port of.
    pub(crate) master: Option<u32>,
    pub(crate) up: bool,
}

/// All links of the socket's namespace.
pub(crate) fn links(socket: &mut Socket) -> Result<Vec<Link>> {
    let message = Message::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &link_head(0, false), "list interfaces");
    Ok(socket.ask(&message)?.iter().filter_map(read).collect())
}

/// The link of this name, if there is one.
pub(crate) fn link_named(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let message =
        Message::new(libc::RTM_GETLINK, 0, &link_head(0, false), format!("look up interface {name}"))
            .with(&Attributes::new().text(libc::IFLA_IFNAME, name));
    match socket.ask(&message) {
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        answers => Ok(answers?.first().and_then(read)),
    }
}

fn read(answer: &Answer) -> Option<Link> {
    let head: [u8; HEAD] = answer.head()?;
    let index = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
    let flags = u32::from_ne_bytes([head[8], head[9], head[10], head[11]]);
    let mut link =
        Link { index, name: String::new(), kind: None, master: None, up: flags & libc::IFF_UP as u32 != 0 };
    for attribute in answer.attributes(HEAD) {
        match attribute.kind {
            libc::IFLA_IFNAME => link.name = attribute.text().to_owned(),
            libc::IFLA_MASTER => link.master = attribute.u32(),
            libc::IFLA_LINKINFO => {
                let kind = attributes(attribute.value).find(|inner| inner.kind == libc::IFLA_INFO_KIND);
                link.kind = kind.map(|inner| inner.text().to_owned());
            }
            _ => {}
        }
    }
    Some(link)
}
