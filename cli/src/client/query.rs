//! Paths and queries, percent-encoded (RFC 3986).

use std::fmt::Write;

/// A query being put together.
#[derive(Default)]
pub(crate) struct Query {
    text: String,
}

impl Query {
    /// Adds `key=value`.
    pub(crate) fn add(mut self, key: &str, value: &str) -> Query {
        self.text.push(if self.text.is_empty() { '?' } else { '&' });
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(&segment(value));
        self
    }

    /// Adds `key=value` where there is a value.
    pub(crate) fn maybe(self, key: &str, value: Option<impl ToString>) -> Query {
        match value {
            Some(value) => self.add(key, &value.to_string()),
            None => self,
        }
    }

    /// Adds `key=true` where it is set.
    pub(crate) fn flag(self, key: &str, set: bool) -> Query {
        if set { self.add(key, "true") } else { self }
    }

    /// The query behind a path.
    pub(crate) fn on(self, path: &str) -> String {
        format!("{path}{}", self.text)
    }
}

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_what_would_end_a_value() {
        let query = Query::default().add("command", "sh -c 'a&b=ä'").flag("tty", true).flag("x", false);
        let query = query.maybe("tailLines", Some(5)).maybe("none", None::<u8>);
        assert_eq!(query.on("/p"), "/p?command=sh%20-c%20%27a%26b%3D%C3%A4%27&tty=true&tailLines=5");
        assert_eq!(Query::default().on("/p"), "/p");
    }
}
