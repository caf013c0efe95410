//! The CRI log format: `TIME STREAM TAGS TEXT`, as containerd and CRI-O write it and the kubelet reads it.

use jiff::Timestamp;

/// One record of a log file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// When it was written, as it stands in the file.
    pub(crate) time: &'a str,
    /// Whether the record ends a line (`F`) or the line goes on in the next record of its stream (`P`).
    pub(crate) full: bool,
    /// `stdout` or `stderr`.
    pub(crate) stream: &'a str,
    /// What the container wrote.
    pub(crate) text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads one record, without its newline; `None` where it is not in this format.
    pub(crate) fn parse(record: &'a [u8]) -> Option<Line<'a>> {
        let (time, rest) = word(record)?;
        let (stream, rest) = word(rest)?;
        // A line without text may end at its tag.
        let (tags, text) = word(rest).unwrap_or((rest, &[]));
        let tags = std::str::from_utf8(tags).ok()?;
        let full = match tags.split(':').next() {
            Some("F") => true,
            Some("P") => false,
            _ => return None,
        };
        Some(Line {
            time: std::str::from_utf8(time).ok()?,
            full,
            stream: std::str::from_utf8(stream).ok()?,
            text,
        })
    }

    /// Whether it was written at `since` or later; an unreadable time counts as too early.
    pub(crate) fn is_since(&self, since: Timestamp) -> bool {
        self.time.parse::<Timestamp>().is_ok_and(|time| time >= since)
    }
}

fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_records() {
        let line = Line::parse(b"2026-11-21T10:00:00.000000001Z stdout F hello  world ").expect("a record");
        assert_eq!((line.stream, line.full, line.text), ("stdout", true, &b"hello  world "[..]));
        assert_eq!(line.time, "2026-11-21T10:00:00.000000001Z");
        assert!(!Line::parse(b"2026-11-21T10:00:00Z stderr P half").expect("a record").full);
        assert_eq!(Line::parse(b"2026-11-21T10:00:00Z stdout F").expect("empty").text, b"");
        assert_eq!(Line::parse(b"2026-11-21T10:00:00Z stdout F ").expect("empty").text, b"");
        assert!(Line::parse(b"2026-11-21T10:00:00Z stdout F:x tags").expect("more tags").full);
    }

    #[test]
    fn refuses_what_is_not_a_record() {
        for bytes in [&b"hello"[..], b"a b", b"2026-11-21T10:00:00Z stdout X text", b""] {
            assert_eq!(Line::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn compares_times() {
        let since = "2026-11-21T10:00:00Z".parse().expect("a time");
        let at = |time: &'static str| Line { time, full: true, stream: "stdout", text: b"" }.is_since(since);
        assert!(at("2026-11-21T10:00:00.000000001Z"));
        assert!(at("2026-11-21T12:00:00+02:00"));
        assert!(!at("2026-11-21T11:59:59.999+02:00"));
    }
}
