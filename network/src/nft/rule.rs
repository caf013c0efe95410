//! The expressions of a rule: a little program over registers of four bytes.

use super::object::Family;
use crate::netlink::Attributes;

/// `NFTA_LIST_ELEM`: one of a list.
pub(super) const LIST_ELEM: u16 = 1;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// Where a map's key is put together, and where what it gives is found. Keys are at most 24 bytes, so the second
/// half of the register file is free.
pub(super) const KEY: u32 = libc::NFT_REG32_00 as u32;
pub(super) const RESULT: u32 = libc::NFT_REG32_08 as u32;

/// A value as nftables wraps it.
pub(super) fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(DATA_VALUE, bytes)
}

/// What a packet is made to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'a> {
    Drop,
    /// On to another chain, and back if that says nothing.
    Jump(&'a str),
}

/// A rule while it is written. Each test ends the rule for a packet that fails it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    family: Family,
    expressions: Attributes,
}

impl Rule {
    pub(super) fn new(family: Family) -> Self {
        Self { family, expressions: Attributes::new() }
    }

    pub(super) fn into_expressions(self) -> Attributes {
        self.expressions
    }

    fn expression(mut self, name: &str, body: Attributes) -> Self {
        let expression = Attributes::new().text(EXPR_NAME, name).nest(EXPR_DATA, body);
        self.expressions = self.expressions.nest(LIST_ELEM, expression);
        self
    }

    /// Loads a fact about the packet: `NFT_META_…`.
    pub(super) fn meta(self, key: i32, register: u32) -> Self {
        self.expression("meta", Attributes::new().be32(1, register).be32(2, key as u32))
    }

    /// Loads bytes of the packet: destination register, `NFT_PAYLOAD_…_HEADER`, offset, length.
    fn payload(self, register: u32, base: i32, offset: u32, length: u32) -> Self {
        let body = Attributes::new().be32(1, register).be32(2, base as u32).be32(3, offset).be32(4, length);
        self.expression("payload", body)
    }

    /// Loads the destination port: it stands at the same place for TCP, UDP and SCTP.
    pub(super) fn destination_port(self, register: u32) -> Self {
        self.payload(register, libc::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
    }

    pub(super) fn source(self, register: u32) -> Self {
        let offset = if self.family == Family::Ip { 12 } else { 8 };
        let length = self.family.address_length();
        self.payload(register, libc::NFT_PAYLOAD_NETWORK_HEADER, offset, length)
    }

    pub(super) fn destination(self, register: u32) -> Self {
        let offset = if self.family == Family::Ip { 16 } else { 24 };
        let length = self.family.address_length();
        self.payload(register, libc::NFT_PAYLOAD_NETWORK_HEADER, offset, length)
    }

    /// Keeps the bits of a register that the mask has.
    pub(super) fn and(self, register: u32, mask: &[u8]) -> Self {
        let body = Attributes::new()
            .be32(1, register)
            .be32(2, register)
            .be32(3, mask.len() as u32)
            .nest(4, value(mask))
            .nest(5, value(&vec![0; mask.len()]));
        self.expression("bitwise", body)
    }

    fn compare(self, register: u32, operation: i32, bytes: &[u8]) -> Self {
        let body = Attributes::new().be32(1, register).be32(2, operation as u32).nest(3, value(bytes));
        self.expression("cmp", body)
    }

    pub(super) fn equal(self, register: u32, bytes: &[u8]) -> Self {
        self.compare(register, libc::NFT_CMP_EQ, bytes)
    }

    pub(super) fn differs(self, register: u32, bytes: &[u8]) -> Self {
        self.compare(register, libc::NFT_CMP_NEQ, bytes)
    }

    /// Tests an interface's name: `key` is `NFT_META_IIFNAME` or `NFT_META_OIFNAME`.
    pub(super) fn interface(self, key: i32, name: &str) -> Self {
        let mut padded = [0; libc::IFNAMSIZ];
        padded.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        self.meta(key, KEY).equal(KEY, &padded)
    }

    /// Tests that the destination is an address of this host.
    pub(super) fn destined_here(self) -> Self {
        const ADDRESS_TYPE: u32 = 3; // NFT_FIB_RESULT_ADDRTYPE
        const OF_DESTINATION: u32 = 2; // NFTA_FIB_F_DADDR
        let body = Attributes::new().be32(1, KEY).be32(2, ADDRESS_TYPE).be32(3, OF_DESTINATION);
        self.expression("fib", body).equal(KEY, &u32::from(libc::RTN_LOCAL).to_ne_bytes())
    }

    /// Tests that the connection's destination was rewritten.
    pub(super) fn rewritten(self) -> Self {
        const DESTINATION_NAT: u32 = 1 << 5; // IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h
        self.expression("ct", Attributes::new().be32(1, KEY).be32(2, libc::NFT_CT_STATUS as u32))
            .and(KEY, &DESTINATION_NAT.to_ne_bytes())
            .differs(KEY, &0u32.to_ne_bytes())
    }

    /// Looks [`KEY`] up in a map, into [`RESULT`]; a key that is not there fails the rule.
    pub(super) fn look_up(self, map: &str, id: u32) -> Self {
        self.expression("lookup", Attributes::new().text(1, map).be32(2, KEY).be32(3, RESULT).be32(4, id))
    }

    /// Sends the connection to the address and port in [`RESULT`].
    pub(super) fn rewrite_destination(self) -> Self {
        let family = u32::from(self.family.number());
        let port = RESULT + self.family.address_length() / 4;
        let body = Attributes::new()
            .be32(1, libc::NFT_NAT_DNAT as u32)
            .be32(2, family)
            .be32(3, RESULT)
            .be32(5, port);
        self.expression("nat", body)
    }

    /// Gives the connection the address of the interface that it leaves by. Its port is picked at random: two
    /// connections that start at once would otherwise try the same one, and one would lose its first packet.
    pub(super) fn masquerade(self) -> Self {
        const RANDOM_FULLY: u32 = 1 << 4; // NF_NAT_RANGE_PROTO_RANDOM_FULLY, linux/netfilter/nf_nat.h
        self.expression("masq", Attributes::new().be32(1, RANDOM_FULLY))
    }

    pub(super) fn verdict(self, verdict: Verdict<'_>) -> Self {
        const CODE: u16 = 1;
        const CHAIN: u16 = 2;
        let code = match verdict {
            Verdict::Drop => Attributes::new().be32(CODE, libc::NF_DROP as u32),
            Verdict::Jump(chain) => Attributes::new().be32(CODE, libc::NFT_JUMP as u32).text(CHAIN, chain),
        };
        let body = Attributes::new()
            .be32(1, libc::NFT_REG_VERDICT as u32)
            .nest(2, Attributes::new().nest(DATA_VERDICT, code));
        self.expression("immediate", body)
    }
}
