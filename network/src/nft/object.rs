//! Tables, chains, maps and their elements.

use std::fmt;

use super::batch::Batch;
use super::rule::{LIST_ELEM, Rule, value};
use crate::netlink::Attributes;

const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_ID: u16 = 10;
const ELEM_KEY: u16 = 1;
const ELEM_DATA: u16 = 2;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ip,
    Ip6,
}

impl Family {
    pub(crate) fn number(self) -> u8 {
        (match self {
            Self::Ip => libc::NFPROTO_IPV4,
            Self::Ip6 => libc::NFPROTO_IPV6,
        }) as u8
    }

    /// Length of an address.
    pub(super) fn address_length(self) -> u32 {
        match self {
            Self::Ip => 4,
            Self::Ip6 => 16,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        })
    }
}

/// What `nft` takes a field of a key for when it lists a map; the kernel only keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Address(Family),
    Protocol,
    Port,
}

impl Type {
    /// The number of the type in nft's own source (`enum datatypes`).
    fn number(self) -> u32 {
        match self {
            Self::Address(Family::Ip) => 7,
            Self::Address(Family::Ip6) => 8,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }

    /// Each field of a concatenation fills whole registers of four bytes.
    fn length(self) -> u32 {
        match self {
            Self::Address(family) => family.address_length(),
            Self::Protocol | Self::Port => 4,
        }
    }
}

/// A concatenation's type: six bits for each field.
fn concatenation(fields: &[Type]) -> u32 {
    fields.iter().fold(0, |number, field| number << 6 | field.number())
}

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    /// "filter" or "nat".
    pub(super) kind: &'static str,
    pub(super) number: i32,
    pub(super) priority: i32,
}

/// A map as it is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a [Type],
    pub(super) data: &'a [Type],
}

/// A table to write to.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) name: String,
}

impl Table {
    /// Declares the table; well if it exists.
    pub(super) fn create(&self, batch: &mut Batch) {
        self.push(batch, libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, "create");
    }

    /// Deletes the table and all that is in it.
    pub(super) fn delete(&self, batch: &mut Batch) {
        self.push(batch, libc::NFT_MSG_DELTABLE, 0, "delete");
    }

    fn push(&self, batch: &mut Batch, kind: i32, flags: i32, verb: &str) {
        let what = format!("{verb} nftables table {self}");
        batch.push(self.family, kind, flags, what, &Attributes::new().text(TABLE_NAME, &self.name));
    }

    /// Declares a chain; with a hook, a base chain.
    pub(super) fn chain(&self, batch: &mut Batch, name: &str, hook: Option<Hook>) {
        let mut attributes = Attributes::new().text(CHAIN_TABLE, &self.name).text(CHAIN_NAME, name);
        if let Some(hook) = hook {
            let place = Attributes::new()
                .be32(HOOK_NUMBER, hook.number as u32)
                .be32(HOOK_PRIORITY, hook.priority as u32);
            attributes = attributes.nest(CHAIN_HOOK, place).text(CHAIN_TYPE, hook.kind);
        }
        let what = format!("create nftables chain {self} {name}");
        batch.push(self.family, libc::NFT_MSG_NEWCHAIN, libc::NLM_F_CREATE, what, &attributes);
    }

    /// Appends a rule to a chain.
    pub(super) fn rule(&self, batch: &mut Batch, chain: &str, rule: Rule) {
        let attributes = Attributes::new()
            .text(RULE_TABLE, &self.name)
            .text(RULE_CHAIN, chain)
            .nest(RULE_EXPRESSIONS, rule.into_expressions());
        let what = format!("add an nftables rule to {self} {chain}");
        let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
        batch.push(self.family, libc::NFT_MSG_NEWRULE, flags, what, &attributes);
    }

    /// Declares a map. `id` tells it from others of the same batch.
    pub(super) fn map(&self, batch: &mut Batch, map: Map<'_>, id: u32) {
        let length = |fields: &[Type]| fields.iter().map(|field| field.length()).sum();
        let attributes = Attributes::new()
            .text(SET_TABLE, &self.name)
            .text(SET_NAME, map.name)
            .be32(SET_FLAGS, libc::NFT_SET_MAP as u32)
            .be32(SET_KEY_TYPE, concatenation(map.key))
            .be32(SET_KEY_LEN, length(map.key))
            .be32(SET_DATA_TYPE, concatenation(map.data))
            .be32(SET_DATA_LEN, length(map.data))
            .be32(SET_ID, id);
        let what = format!("create nftables map {self} {}", map.name);
        batch.push(self.family, libc::NFT_MSG_NEWSET, libc::NLM_F_CREATE, what, &attributes);
    }

    /// Adds an element to a map.
    pub(super) fn add_element(&self, batch: &mut Batch, map: &str, key: &[u8], data: &[u8], words: &str) {
        let element = Attributes::new().nest(ELEM_KEY, value(key)).nest(ELEM_DATA, value(data));
        let what = format!("add {words} to nftables map {self} {map}");
        self.elements(batch, libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE, map, element, what);
    }

    /// Deletes an element of a map.
    pub(super) fn delete_element(&self, batch: &mut Batch, map: &str, key: &[u8], words: &str) {
        let element = Attributes::new().nest(ELEM_KEY, value(key));
        let what = format!("delete {words} from nftables map {self} {map}");
        self.elements(batch, libc::NFT_MSG_DELSETELEM, 0, map, element, what);
    }

    fn elements(
        &self,
        batch: &mut Batch,
        kind: i32,
        flags: i32,
        map: &str,
        element: Attributes,
        what: String,
    ) {
        let attributes = Attributes::new()
            .text(LIST_TABLE, &self.name)
            .text(LIST_SET, map)
            .nest(LIST_ELEMENTS, Attributes::new().nest(LIST_ELEM, element));
        batch.push(self.family, kind, flags, what, &attributes);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenated_types_are_those_of_nft() {
        assert_eq!(concatenation(&[Type::Protocol, Type::Port]), 12 << 6 | 13);
        let bound = [Type::Address(Family::Ip), Type::Protocol, Type::Port];
        assert_eq!(concatenation(&bound), (7 << 6 | 12) << 6 | 13);
    }
}
