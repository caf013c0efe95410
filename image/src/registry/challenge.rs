//! `WWW-Authenticate` (RFC 9110, 11.6.1): several challenges in one or more header fields.

use std::collections::BTreeMap;

/// One challenge, scheme in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Parses one field value; what cannot be understood ends the list.
pub(super) fn parse(value: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: value };
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        scanner.skip(|c| c.is_ascii_whitespace() || c == ',');
        let token = scanner.token();
        if token.is_empty() {
            return challenges;
        }
        scanner.skip(|c| c.is_ascii_whitespace());
        match (scanner.eat('='), challenges.last_mut()) {
            (true, Some(challenge)) => {
                scanner.skip(|c| c.is_ascii_whitespace());
                let value = scanner.value();
                challenge.parameters.entry(token.to_ascii_lowercase()).or_insert(value);
            }
            (true, None) => return challenges,
            (false, _) => {
                challenges
                    .push(Challenge { scheme: token.to_ascii_lowercase(), parameters: BTreeMap::new() });
            }
        }
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip(&mut self, skip: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(skip);
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `token` of RFC 9110, 5.6.2.
    fn token(&mut self) -> &'a str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn value(&mut self) -> String {
        if !self.eat('"') {
            // Registries have been seen to leave out the quotes of URLs.
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return value.to_owned();
        }
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return value;
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                c => value.push(c),
            }
        }
        self.rest = "";
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_registries_send() {
        let parsed = parse(
            r#"Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push""#,
        );
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].scheme, "bearer");
        assert_eq!(parsed[0].get("realm"), Some("https://auth.test/token"));
        assert_eq!(parsed[0].get("scope"), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn reads_several_and_odd_ones() {
        let parsed = parse(r#"Negotiate, Basic realm="a \"b\"" , charset=UTF-8, BEARER Realm = http://x/t"#);
        let schemes: Vec<_> = parsed.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(parsed[1].get("realm"), Some("a \"b\""));
        assert_eq!(parsed[2].get("realm"), Some("http://x/t"));
        assert!(parse("").is_empty());
        assert!(parse("=x").is_empty());
        assert_eq!(parse("Basic realm=\"open").len(), 1);
    }

    proptest! {
        #[test]
        fn never_panics(value in "\\PC{0,60}") {
            let _ = parse(&value);
        }
    }
}
