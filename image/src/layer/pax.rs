//! PAX extended headers (POSIX.1-2017 `pax`, "pax Extended Header") and the vendor keys that images use:
//! `SCHILY.xattr.*` and `GNU.sparse.*`.

use super::LayerError;
use super::sparse::Segment;

/// More than any file system lets xattrs of one file be.
pub(crate) const MAX_PAX: u64 = 1 << 20;

/// A point in time as utimensat takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

/// The records of one extended header that matter here.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) mtime: Option<Time>,
    pub(crate) atime: Option<Time>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: PaxSparse,
}

/// The `GNU.sparse.*` records of the formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) version: Option<(u64, u64)>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    /// 0.0 and 0.1 have their map here; 1.0 has it in front of the content.
    pub(crate) map: Vec<Segment>,
    pending_offset: Option<u64>,
}

impl Pax {
    /// Parses `bytes`, the content of one extended header.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Pax, LayerError> {
        let mut pax = Pax::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, after) = split_record(rest).ok_or_else(|| bad("record"))?;
            pax.take(key, value)?;
            rest = after;
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), LayerError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            if name.is_empty() || name.contains(&0) {
                return Err(bad("xattr name"));
            }
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.take(name, value);
        }
        // An empty value takes back what an earlier record or the header said.
        match key {
            b"path" => self.path = non_empty(value),
            b"linkpath" => self.link = non_empty(value),
            b"size" => self.size = Some(decimal(value).ok_or_else(|| bad("size"))?),
            b"uid" => self.uid = Some(signed(value).ok_or_else(|| bad("uid"))?),
            b"gid" => self.gid = Some(signed(value).ok_or_else(|| bad("gid"))?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(|| bad("mtime"))?),
            b"atime" => self.atime = Some(time(value).ok_or_else(|| bad("atime"))?),
            _ => {}
        }
        Ok(())
    }
}

impl PaxSparse {
    pub(crate) fn is_used(&self) -> bool {
        self.version.is_some() || self.real_size.is_some() || !self.map.is_empty()
    }

    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), LayerError> {
        let value_number = || decimal(value).ok_or_else(|| bad("GNU.sparse number"));
        match name {
            b"major" => self.version = Some((value_number()?, self.version.map_or(0, |v| v.1))),
            b"minor" => self.version = Some((self.version.map_or(0, |v| v.0), value_number()?)),
            b"name" => self.name = non_empty(value),
            b"size" | b"realsize" => self.real_size = Some(value_number()?),
            b"offset" => self.pending_offset = Some(value_number()?),
            b"numbytes" => {
                let offset = self.pending_offset.take().ok_or_else(|| bad("GNU.sparse map"))?;
                self.map.push(Segment { offset, length: value_number()? });
            }
            b"map" => self.map = parse_map(value).ok_or_else(|| bad("GNU.sparse.map"))?,
            _ => {}
        }
        Ok(())
    }
}

/// `offset,length,offset,length,…`
fn parse_map(value: &[u8]) -> Option<Vec<Segment>> {
    let numbers: Vec<u64> =
        value.split(|b| *b == b',').filter(|n| !n.is_empty()).map(decimal).collect::<Option<_>>()?;
    let (pairs, []) = numbers.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[offset, length]| Segment { offset: *offset, length: *length }).collect())
}

/// One `LENGTH KEY=VALUE\n`; the length counts itself. Values may hold anything, newlines too.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let record = &bytes[space + 1..length - 1];
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn non_empty(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

fn signed(value: &[u8]) -> Option<i64> {
    match value.strip_prefix(b"-") {
        Some(digits) => i64::try_from(decimal(digits)?).ok().map(|n| -n),
        None => i64::try_from(decimal(value)?).ok(),
    }
}

/// Seconds with an optional fraction; digits past nanoseconds are dropped.
fn time(value: &[u8]) -> Option<Time> {
    let (whole, fraction) = match value.iter().position(|b| *b == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b""[..]),
    };
    let negative = whole.first() == Some(&b'-');
    let mut seconds = signed(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
    }
    if negative && nanos > 0 {
        seconds = seconds.checked_sub(1)?;
        nanos = 1_000_000_000 - nanos;
    }
    Some(Time { seconds, nanos })
}

fn bad(what: &str) -> LayerError {
    LayerError::malformed(b"PAX header", &format!("invalid {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn reads_records() {
        let bytes = [
            record("path", b"a/b"),
            record("mtime", b"12.5"),
            record("size", b"8589934592"),
            record("SCHILY.xattr.user.x", b"a\n\0b"),
            record("comment", b"x"),
        ]
        .concat();
        let pax = Pax::parse(&bytes).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some(Time { seconds: 12, nanos: 500_000_000 }));
        assert_eq!(pax.size, Some(1 << 33));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"a\n\0b".to_vec())]);
    }

    #[test]
    fn reads_times_before_the_epoch() {
        assert_eq!(time(b"-1.25"), Some(Time { seconds: -2, nanos: 750_000_000 }));
        assert_eq!(time(b"1.1234567899"), Some(Time { seconds: 1, nanos: 123_456_789 }));
        assert_eq!(time(b"x"), None);
    }

    #[test]
    fn refuses_wrong_records() {
        for bytes in [&b"5 a=b"[..], b"99 a=b\n", b"0 a=b\n", b"a=b\n", b"6 abc\n", b"13 size=-512\n"] {
            assert!(Pax::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pax::parse(&bytes);
        }

        #[test]
        fn any_value_survives(value in proptest::collection::vec(any::<u8>(), 1..200)) {
            let pax = Pax::parse(&record("SCHILY.xattr.user.k", &value)).unwrap();
            prop_assert_eq!(&pax.xattrs[0].1, &value);
        }
    }
}
