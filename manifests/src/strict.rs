//! Turns a tree into a Kubernetes type and finds every field that the type or this node does not know.
//!
//! k8s-openapi's types skip what they do not know, but each hands its full list of fields to
//! `deserialize_struct`. This deserializer compares that list with what is written, and looks each field up in
//! the table of [`crate::support`], so that nothing is ever ignored in silence.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::Severity;
use crate::place::Place;
use crate::suggest::nearest;
use crate::support::{Support, lookup};
use crate::tree::{Node, Value};

/// Something wrong at a place of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) place: Place,
    /// `spec.volumes[0].projected`, or empty.
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A wrong type or value, which ends the reading of a document.
#[derive(Debug)]
pub(crate) struct Error {
    message: String,
    hint: Option<String>,
    place: Option<(Place, String)>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error { message: message.to_string(), hint: None, place: None }
    }

    fn missing_field(field: &'static str) -> Error {
        Error { message: format!("the field {field:?} is missing"), hint: None, place: None }
    }
}

/// Reads a `T` from a tree, and everything that is wrong with it.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(root: &Node) -> (Option<T>, Vec<Finding>) {
    let findings = RefCell::new(Vec::new());
    let result =
        T::deserialize(Typed { node: root, path: String::new(), findings: &findings, number_as_text: false });
    let mut findings = findings.into_inner();
    let value = match result {
        Ok(value) => Some(value),
        Err(error) => {
            let (place, path) = error.place.unwrap_or((root.place, String::new()));
            let message = if path.is_empty() { error.message } else { format!("{path}: {}", error.message) };
            findings.push(Finding { severity: Severity::Error, place, path, message, hint: error.hint });
            None
        }
    };
    (value, findings)
}

/// A deserializer at one node.
struct Typed<'a> {
    node: &'a Node,
    path: String,
    findings: &'a RefCell<Vec<Finding>>,
    /// Quantities may be written as numbers.
    number_as_text: bool,
}

impl<'a> Typed<'a> {
    fn child(&self, node: &'a Node, path: String) -> Typed<'a> {
        Typed { node, path, findings: self.findings, number_as_text: self.number_as_text }
    }

    /// Puts this node's place on an error that has none yet.
    fn at<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|mut error| {
            error.place.get_or_insert_with(|| (self.node.place, self.path.clone()));
            error
        })
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, Error> {
        let found = match &self.node.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(v) => format!("the boolean {v}"),
            Value::Int(v) => format!("the number {v}"),
            Value::Unsigned(v) => format!("the number {v}"),
            Value::Float(v) => format!("the number {v}"),
            Value::String(v) => format!("the text {v:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        };
        let hint = match (&self.node.value, expected) {
            (Value::Bool(v), "a text") => Some(format!("write it in quotes: \"{v}\"")),
            (Value::Int(v), "a text") => Some(format!("write it in quotes: \"{v}\"")),
            (Value::Float(v), "a text") => Some(format!("write it in quotes: \"{v}\"")),
            (Value::String(v), "a number") if v.parse::<i64>().is_ok() => {
                Some(format!("leave out the quotes: {v}"))
            }
            (Value::String(v), "true or false")
                if ["yes", "on", "y", "True", "TRUE"].contains(&v.as_str()) =>
            {
                Some("write true".into())
            }
            (Value::String(v), "true or false")
                if ["no", "off", "n", "False", "FALSE"].contains(&v.as_str()) =>
            {
                Some("write false".into())
            }
            (Value::String(_) | Value::Map(_), "a list") => Some("put \"- \" in front of each entry".into()),
            _ => None,
        };
        let message = format!("expected {expected}, found {found}");
        Err(Error { message, hint, place: Some((self.node.place, self.path.clone())) })
    }

    fn join(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Checks the fields of a struct against its type and the table.
    fn check_fields(&self, kind: &str, fields: &[&'static str], entries: &[(Node, Node)]) {
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            if !fields.contains(&name) {
                self.unknown(key, fields);
            } else if !is_empty(&value.value) {
                self.unsupported(kind, name, key);
            }
        }
    }

    fn unknown(&self, key: &Node, fields: &[&'static str]) {
        let name = match &key.value {
            Value::String(name) => name.clone(),
            Value::Int(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        let hint = match nearest(&name, fields) {
            Some(near) => Some(format!("did you mean {near:?}?")),
            None => Some(format!("fields here: {}", fields.join(", "))),
        };
        let path = self.join(&name);
        let message = format!("unknown field {path:?}");
        self.find(Finding { severity: Severity::Error, place: key.place, path, message, hint });
    }

    fn unsupported(&self, kind: &str, field: &str, key: &Node) {
        let path = self.join(field);
        let (severity, message) = match lookup(kind, field) {
            Some(Support::Works) | None => return,
            Some(Support::Warned(why)) => (Severity::Warning, format!("{path} has no effect: {why}")),
            Some(Support::Refused(why)) => (Severity::Error, format!("{path} is not supported: {why}")),
        };
        self.find(Finding { severity, place: key.place, path, message, hint: None });
    }

    fn find(&self, finding: Finding) {
        self.findings.borrow_mut().push(finding);
    }
}

/// Whether a field that is written says nothing, as exported objects often do.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Float(_) => false,
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.node.value {
                Value::Int(v) => self.at(visitor.visit_i64(v)),
                Value::Unsigned(v) => self.at(visitor.visit_u64(v)),
                _ => self.wrong("a number"),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for Typed<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Null => self.at(visitor.visit_unit()),
            Value::Bool(v) => self.at(visitor.visit_bool(*v)),
            Value::Int(v) => self.at(visitor.visit_i64(*v)),
            Value::Unsigned(v) => self.at(visitor.visit_u64(*v)),
            Value::Float(v) => self.at(visitor.visit_f64(*v)),
            Value::String(v) => self.at(visitor.visit_str(v)),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Bool(v) => self.at(visitor.visit_bool(v)),
            _ => self.wrong("true or false"),
        }
    }

    numbers!(deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
             deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Float(v) => self.at(visitor.visit_f64(v)),
            Value::Int(v) => self.at(visitor.visit_i64(v)),
            _ => self.wrong("a number"),
        }
    }

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::String(v) => self.at(visitor.visit_str(v)),
            Value::Int(v) if self.number_as_text => self.at(visitor.visit_string(v.to_string())),
            Value::Unsigned(v) if self.number_as_text => self.at(visitor.visit_string(v.to_string())),
            Value::Float(v) if self.number_as_text => self.at(visitor.visit_string(v.to_string())),
            _ => self.wrong("a text"),
        }
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.value {
            Value::Null => visitor.visit_unit(),
            _ => self.wrong("nothing"),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(Typed { number_as_text: name == "Quantity", ..self })
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(items) => {
                let result = visitor.visit_seq(Items { parent: &self, items: items.iter().enumerate() });
                self.at(result)
            }
            _ => self.wrong("a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => {
                let result =
                    visitor.visit_map(Entries { parent: &self, entries: entries.iter(), value: None });
                self.at(result)
            }
            _ => self.wrong("a map"),
        }
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::Map(entries) = &self.node.value {
            self.check_fields(name, fields, entries);
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::String(v) => self.at(visitor.visit_enum(StrDeserializer::<Error>::new(v))),
            _ => self.wrong("a text"),
        }
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

struct Items<'p, 'a> {
    parent: &'p Typed<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> SeqAccess<'a> for Items<'_, 'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let path = format!("{}[{index}]", self.parent.path);
        seed.deserialize(self.parent.child(node, path)).map(Some)
    }
}

struct Entries<'p, 'a> {
    parent: &'p Typed<'a>,
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<(String, &'a Node)>,
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        let Some(name) = key.text() else {
            return self.parent.child(key, self.parent.path.clone()).wrong("a text");
        };
        self.value = Some((name.to_owned(), value));
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((name, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let typed = self.parent.child(node, self.parent.join(&name));
        let (place, path) = (node.place, typed.path.clone());
        seed.deserialize(typed).map_err(|mut error| {
            error.place.get_or_insert((place, path));
            error
        })
    }
}
