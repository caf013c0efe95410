//! One netlink message on its way to the kernel (`struct nlmsghdr`, netlink(7)).

use super::Attributes;

/// A request: header, the family's fixed part, attributes; and what it is for, in words for an error.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    what: String,
}

impl Message {
    /// A message of this kind; `flags` beside NLM_F_REQUEST, `head` the family's fixed part.
    pub(crate) fn new(kind: u16, flags: i32, head: &[u8], what: impl Into<String>) -> Self {
        Self { kind, flags: flags as u16, body: head.to_vec(), what: what.into() }
    }

    pub(crate) fn with(mut self, attributes: &Attributes) -> Self {
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self.body.extend_from_slice(attributes.as_bytes());
        self
    }

    /// What it is for: "add address 10.88.0.2 to eth0".
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Whether the kernel is asked to answer for it even when all is well.
    pub(crate) fn wants_ack(&self) -> bool {
        i32::from(self.flags) & libc::NLM_F_ACK != 0
    }

    /// Appends the message to a datagram, under this sequence number.
    pub(crate) fn write(&self, sequence: u32, datagram: &mut Vec<u8>) {
        let length = 16 + self.body.len();
        datagram.extend_from_slice(&(length as u32).to_ne_bytes());
        datagram.extend_from_slice(&self.kind.to_ne_bytes());
        datagram.extend_from_slice(&(self.flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        datagram.extend_from_slice(&sequence.to_ne_bytes());
        datagram.extend_from_slice(&0u32.to_ne_bytes());
        datagram.extend_from_slice(&self.body);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_padding() {
        let message = Message::new(20, libc::NLM_F_ACK, &[9, 9, 9], "x").with(&Attributes::new().u8(1, 5));
        let mut datagram = Vec::new();
        message.write(7, &mut datagram);
        assert_eq!(datagram.len(), 16 + 4 + 8);
        assert_eq!(datagram[..4], 28u32.to_ne_bytes());
        assert_eq!(datagram[4..6], 20u16.to_ne_bytes());
        assert_eq!(datagram[6..8], 5u16.to_ne_bytes(), "NLM_F_REQUEST | NLM_F_ACK");
        assert_eq!(datagram[8..12], 7u32.to_ne_bytes());
        assert_eq!(datagram[16..20], [9, 9, 9, 0]);
    }
}
