//! A document as written: values with the place where each stands.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::diagnostic::{Diagnostic, Severity};
use crate::place::Place;

/// Largest file. A pod has a few kilobytes, and the API server takes no object above 1.5 MiB.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What a document is made of.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text, where it is a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A value that stands nowhere.
    pub(crate) fn of(value: &serde_json::Value) -> Node {
        use serde_json::Value as Json;
        let value = match value {
            Json::Null => Value::Null,
            Json::Bool(v) => Value::Bool(*v),
            Json::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(v), _) => Value::Int(v),
                (None, Some(v)) => Value::Unsigned(v),
                (None, None) => Value::Float(n.as_f64().unwrap_or_default()),
            },
            Json::String(v) => Value::String(v.clone()),
            Json::Array(items) => Value::List(items.iter().map(Node::of).collect()),
            Json::Object(entries) => {
                let key = |k: &String| Node { value: Value::String(k.clone()), place: Place::default() };
                Value::Map(entries.iter().map(|(k, v)| (key(k), Node::of(v))).collect())
            }
        };
        Node { value, place: Place::default() }
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Where `path` (`spec.containers[0].name`) stands, or the nearest of what holds it.
    pub(crate) fn locate(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in path.split(['.', '[']) {
            let next = match (&node.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => {
                    index.parse::<usize>().ok().and_then(|i| items.get(i)).map(|n| (n, n.place))
                }
                (Value::Map(entries), None) => {
                    entries.iter().find(|(k, _)| k.text() == Some(step)).map(|(k, v)| {
                        let scalar = !matches!(v.value, Value::List(_) | Value::Map(_) | Value::Null);
                        (v, if scalar { v.place } else { k.place })
                    })
                }
                _ => None,
            };
            let Some((found, at)) = next else { break };
            node = found;
            place = at;
        }
        place
    }
}

/// Reads all documents of a YAML or JSON text; empty ones are left out.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<Node>, Diagnostic> {
    let refuse = |message: String| Diagnostic {
        severity: Severity::Error,
        file: file.to_path_buf(),
        line: 0,
        column: 0,
        message,
        snippet: String::new(),
        hint: None,
    };
    if text.len() > MAX_BYTES {
        let size = text.len() as f64 / f64::from(1 << 20);
        let mut refused =
            refuse(format!("the file has {size:.1} MiB, more than the 4 MiB a manifest may have"));
        refused.hint = Some("split it into several files".into());
        return Err(refused);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 100_000,
            max_events: 250_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_documents: 2_000,
        },
        legacy_octal_numbers: true,
        strict_booleans: true,
        with_snippet: false,
    };
    let parsed: Result<Vec<Spanned<Raw>>, _> = serde_saphyr::from_multiple_with_options(text, options);
    match parsed {
        Ok(documents) => Ok(documents.into_iter().map(node).collect()),
        Err(error) => {
            let mut refused = refuse(plain(&error.without_snippet().to_string()));
            if let Some(place) = error.location().map(place) {
                place.show(text, &mut refused);
            }
            Err(refused)
        }
    }
}

/// The parser's message without its own account of the place, which is shown beside it.
fn plain(message: &str) -> String {
    let end = message.find(" at line ").unwrap_or(message.len());
    let message = message.get(..end).unwrap_or(message).trim_end_matches([',', ':']);
    if message.starts_with("budget breached")
        || message.starts_with("recursion limit")
        || message.contains("alias")
    {
        return format!(
            "the document is larger, deeper or repeats itself more than a manifest may ({message})"
        );
    }
    message.to_owned()
}

fn place(location: Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(0);
    Place { line: number(location.line()), column: number(location.column()) }
}

fn node(raw: Spanned<Raw>) -> Node {
    let place = place(raw.referenced);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(v) => Value::Bool(v),
        Raw::Int(v) => Value::Int(v),
        Raw::Unsigned(v) => Value::Unsigned(v),
        Raw::Float(v) => Value::Float(v),
        Raw::String(v) => Value::String(v),
        Raw::List(items) => Value::List(items.into_iter().map(node).collect()),
        Raw::Map(entries) => Value::Map(entries.into_iter().map(|(k, v)| (node(k), node(v))).collect()),
    };
    Node { value, place }
}

/// A value as the parser hands it out.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    String(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(Raw::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(i64::try_from(v).map_or(Raw::Unsigned(v), Raw::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
        Ok(Raw::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Raw, E> {
        Ok(Raw::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
