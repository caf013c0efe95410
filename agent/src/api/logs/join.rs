//! Puts lines together again which the runtime had to split, each stream for itself.

use jiff::Timestamp;

use crate::log_line::Line;

/// A line longer than this is given in pieces rather than held.
const LONGEST: usize = 1 << 20;

/// Turns records into text.
pub(super) struct Join {
    since: Option<Timestamp>,
    timestamps: bool,
    /// Lines begun and not ended, by stream; there are two at most.
    open: Vec<(String, Vec<u8>)>,
}

impl Join {
    /// Text of what was written `since`, with or without times.
    pub(super) fn new(since: Option<Timestamp>, timestamps: bool) -> Join {
        Join { since, timestamps, open: Vec::new() }
    }

    /// Appends to `text` what becomes whole with `record`.
    pub(super) fn add(&mut self, record: &[u8], text: &mut Vec<u8>) {
        let Some(line) = Line::parse(record) else {
            // Not in the format: somebody else wrote it, and the reader may want to know.
            text.extend_from_slice(record);
            text.push(b'\n');
            return;
        };
        let begun = self.open.iter().position(|(stream, _)| stream == line.stream);
        if begun.is_none() && self.since.is_some_and(|since| !line.is_since(since)) {
            return;
        }
        let mut whole = match begun {
            Some(at) => self.open.swap_remove(at).1,
            None => self.begin(&line),
        };
        whole.extend_from_slice(line.text);
        if line.full {
            whole.push(b'\n');
            text.append(&mut whole);
            return;
        }
        if whole.len() > LONGEST {
            text.append(&mut whole);
        }
        self.open.push((line.stream.to_owned(), whole));
    }

    /// Appends the lines whose end never came.
    pub(super) fn finish(&mut self, text: &mut Vec<u8>) {
        for (_, mut line) in self.open.drain(..) {
            text.append(&mut line);
            text.push(b'\n');
        }
    }

    fn begin(&self, line: &Line<'_>) -> Vec<u8> {
        if self.timestamps { format!("{} ", line.time).into_bytes() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(since: Option<&str>, timestamps: bool, records: &[&str]) -> String {
        let mut join = Join::new(since.map(|time| time.parse().expect("a time")), timestamps);
        let mut text = Vec::new();
        records.iter().for_each(|record| join.add(record.as_bytes(), &mut text));
        join.finish(&mut text);
        String::from_utf8(text).expect("text")
    }

    const RECORDS: [&str; 5] = [
        "2026-11-21T10:00:01Z stdout P ab",
        "2026-11-21T10:00:02Z stderr F oops",
        "2026-11-21T10:00:03Z stdout P cd",
        "2026-11-21T10:00:04Z stdout F ef",
        "2026-11-21T10:00:05Z stdout F next",
    ];

    #[test]
    fn streams_do_not_mix() {
        assert_eq!(joined(None, false, &RECORDS), "oops\nabcdef\nnext\n");
    }

    #[test]
    fn a_joined_line_has_the_time_of_its_beginning() {
        let text = joined(None, true, &RECORDS);
        assert_eq!(
            text,
            "2026-11-21T10:00:02Z oops\n2026-11-21T10:00:01Z abcdef\n2026-11-21T10:00:05Z next\n"
        );
    }

    #[test]
    fn only_since() {
        assert_eq!(joined(Some("2026-11-21T10:00:05Z"), false, &RECORDS), "next\n");
    }

    #[test]
    fn what_never_ended_is_given_at_the_end() {
        assert_eq!(joined(None, false, &["2026-11-21T10:00:01Z stdout P ab"]), "ab\n");
    }

    #[test]
    fn endless_lines_are_given_in_pieces() {
        let record = format!("2026-11-21T10:00:01Z stdout P {}", "x".repeat(LONGEST));
        let mut join = Join::new(None, false);
        let mut text = Vec::new();
        join.add(record.as_bytes(), &mut text);
        assert!(text.is_empty());
        join.add(b"2026-11-21T10:00:01Z stdout P y", &mut text);
        assert_eq!(text.len(), LONGEST + 1);
    }

    #[test]
    fn foreign_lines_pass() {
        assert_eq!(joined(None, true, &["plain text"]), "plain text\n");
    }
}
