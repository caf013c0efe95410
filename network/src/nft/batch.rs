//! A transaction: the kernel takes all of its messages, or none.

use super::object::Family;
use crate::error::Result;
use crate::netlink::{Attributes, Message, Socket};

/// `struct nfgenmsg` (linux/netfilter/nfnetlink.h): family, version 0, resource in network byte order.
pub(super) fn head(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// Messages to nftables that belong together.
#[derive(Debug, Default)]
pub(crate) struct Batch(Vec<Message>);

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a message of nftables: `kind` is one of `NFT_MSG_…`.
    pub(super) fn push(
        &mut self,
        family: Family,
        kind: i32,
        flags: i32,
        what: String,
        attributes: &Attributes,
    ) {
        let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | kind as u16;
        let message = Message::new(kind, flags | libc::NLM_F_ACK, &head(family.number(), 0), what);
        self.0.push(message.with(attributes));
    }

    /// Commits it; the error names the object that the kernel refused.
    pub(crate) fn commit(self, socket: &mut Socket) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let border = |kind: i32| {
            Message::new(
                kind as u16,
                0,
                &head(libc::AF_UNSPEC as u8, libc::NFNL_SUBSYS_NFTABLES as u16),
                "commit nftables rules",
            )
        };
        let mut messages = Vec::with_capacity(self.0.len() + 2);
        messages.push(border(libc::NFNL_MSG_BATCH_BEGIN));
        messages.extend(self.0);
        messages.push(border(libc::NFNL_MSG_BATCH_END));
        socket.send_all(&messages)
    }
}
