//! Reading what the kernel answers.

/// An attribute as it stands in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    /// Its number, without the flag bits.
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as text, up to its closing zero.
    pub(crate) fn text(&self) -> &'a str {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).unwrap_or_default()
    }

    pub(crate) fn u32(&self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.value.try_into().ok()?))
    }
}

/// The attributes in `bytes`; the walk ends at the first that does not fit.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & libc::NLA_TYPE_MASK as u16;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value })
    })
}

/// One message of an answer, without its header.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(body: &[u8]) -> Self {
        Self { body: body.to_vec() }
    }

    /// The fixed part that each family puts before the attributes, `N` bytes long.
    pub(crate) fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.body.get(..N)?.try_into().ok()
    }

    /// The attributes after a fixed part of `head` bytes.
    pub(crate) fn attributes(&self, head: usize) -> impl Iterator<Item = Attribute<'_>> {
        attributes(self.body.get(head..).unwrap_or_default())
    }

    /// The first attribute of a kind.
    pub(crate) fn attribute(&self, head: usize, kind: u16) -> Option<Attribute<'_>> {
        self.attributes(head).find(|attribute| attribute.kind == kind)
    }
}
