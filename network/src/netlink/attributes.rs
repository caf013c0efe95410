//! Netlink attributes, written one after another (netlink(7); `struct nlattr` in linux/netlink.h).

/// Set on an attribute whose value is attributes again.
const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// A run of attributes: the body of a message or of a nested attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute with this value. A value is at most 65,531 bytes: the length field has 16 bits.
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = 4 + value.len();
        debug_assert!(length <= usize::from(u16::MAX), "attribute {kind} of {length} bytes");
        self.0.extend_from_slice(&(length as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A text with its closing zero.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    /// A number in the host's byte order, as rtnetlink has it.
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A number in network byte order, as nfnetlink has it.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// An attribute that holds attributes.
    pub(crate) fn nest(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse::attributes;
    use super::*;

    proptest! {
        /// What is written is read back, whatever the lengths, at any depth.
        #[test]
        fn round_trip(values in proptest::collection::vec((0u16..0x3fff, proptest::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let write = |run: Attributes, (kind, value): &(u16, Vec<u8>)| run.bytes(*kind, value);
            let flat = values.iter().fold(Attributes::new(), write);
            let nested = Attributes::new().u8(1, 7).nest(2, flat.clone()).be32(3, 9);
            prop_assert_eq!(nested.as_bytes().len() % 4, 0);

            let read: Vec<_> = attributes(flat.as_bytes()).map(|a| (a.kind, a.value.to_vec())).collect();
            prop_assert_eq!(&read, &values);
            let outer: Vec<_> = attributes(nested.as_bytes()).collect();
            prop_assert_eq!(outer.len(), 3);
            let inner: Vec<_> = attributes(outer[1].value).map(|a| (a.kind, a.value.to_vec())).collect();
            prop_assert_eq!(&inner, &values);
            prop_assert_eq!(outer[2].value, &9u32.to_be_bytes()[..]);
        }

        /// Bytes that the kernel never sends end the walk, and never panic.
        #[test]
        fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for attribute in attributes(&bytes) {
                prop_assert!(attribute.value.len() <= bytes.len());
            }
        }
    }
}
