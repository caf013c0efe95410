//! The table of fields covers Kubernetes' Pod, whole, and the docs say what the table says.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use reeve_manifests::support::{FIELDS, Support, lookup, markdown};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error(message.to_string())
    }
}

type Seen = RefCell<BTreeSet<(String, String)>>;

/// Answers every question of a type with one value of each kind, and writes down the fields it names.
#[derive(Clone, Copy)]
struct Tracer<'a> {
    seen: &'a Seen,
    deeper: bool,
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str("1970-01-01T00:00:00Z")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.deeper { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once { tracer: self, left: self.deeper })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { tracer: self, kind: None, fields: ["key"].iter(), last: "" })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let fields = if self.deeper { fields.iter() } else { [].iter() };
        visitor.visit_map(Fields { tracer: self, kind: Some(name), fields, last: "" })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum identifier ignored_any
    }
}

struct Once<'a> {
    tracer: Tracer<'a>,
    left: bool,
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !std::mem::take(&mut self.left) {
            return Ok(None);
        }
        seed.deserialize(self.tracer).map(Some)
    }
}

struct Fields<'a> {
    tracer: Tracer<'a>,
    kind: Option<&'static str>,
    fields: std::slice::Iter<'static, &'static str>,
    last: &'static str,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else {
            return Ok(None);
        };
        self.last = field;
        seed.deserialize(StrDeserializer::new(field)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let mut tracer = self.tracer;
        if let Some(kind) = self.kind {
            tracer.seen.borrow_mut().insert((kind.to_owned(), self.last.to_owned()));
            tracer.deeper = matches!(lookup(kind, self.last), Some(Support::Works) | None);
        }
        // The version and kind of a Pod are checked by its type.
        match (self.kind, self.last) {
            (Some("Pod"), "apiVersion") => seed.deserialize(StrDeserializer::new("v1")),
            (Some("Pod"), "kind") => seed.deserialize(StrDeserializer::new("Pod")),
            _ => seed.deserialize(tracer),
        }
    }
}

#[test]
fn the_table_has_every_field_of_a_pod_and_no_other() {
    let seen = Seen::default();
    <Pod as serde::Deserialize>::deserialize(Tracer { seen: &seen, deeper: true }).unwrap();
    let table: BTreeSet<(String, String)> =
        FIELDS.iter().map(|(kind, field, _)| ((*kind).to_owned(), (*field).to_owned())).collect();
    assert_eq!(table.len(), FIELDS.len(), "a field stands twice in the table");
    let seen = seen.into_inner();
    let missing: Vec<_> = seen.difference(&table).collect();
    let extra: Vec<_> = table.difference(&seen).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, extra {extra:?}");
}

#[test]
fn the_docs_are_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compat-pod.md");
    let table = markdown();
    if std::env::var_os("REEVE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let docs = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(docs == table, "docs/compat-pod.md is out of date: run this test with REEVE_UPDATE_DOCS=1");
}
