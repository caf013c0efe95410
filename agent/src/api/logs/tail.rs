//! Where the last N lines of a log begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::log_line::Line;

/// How much is read at a time.
const BLOCK: usize = 64 << 10;

/// Offset of the first record of the last `lines` whole lines of `file`, whose length is `len`. Records of one
/// split line count once; an unfinished last record belongs to the line it will end.
pub(super) fn start_of_last(file: &File, len: u64, lines: usize) -> io::Result<u64> {
    if lines == 0 {
        return Ok(len);
    }
    let mut records = Backwards { file, at: len, buffer: Vec::new() };
    let mut found = 0;
    while let Some((start, record)) = records.next()? {
        let ends_line = Line::parse(&record).is_none_or(|line| line.full);
        if ends_line {
            if found == lines {
                return Ok(start + record.len() as u64 + 1);
            }
            found += 1;
        }
    }
    Ok(0)
}

/// Records of a file, last first. Only whole ones (with their newline) are given.
struct Backwards<'a> {
    file: &'a File,
    /// Where `buffer` begins in the file.
    at: u64,
    /// What was read and not given yet.
    buffer: Vec<u8>,
}

impl Backwards<'_> {
    /// The next record towards the beginning, with its offset.
    fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        // The newline that ends the record, and the one that ends the record before it.
        loop {
            if let Some(end) = rposition(&self.buffer) {
                if let Some(before) = rposition(&self.buffer[..end]) {
                    return Ok(Some(self.take(before + 1, end)));
                }
                if self.at == 0 {
                    return Ok(Some(self.take(0, end)));
                }
            }
            if self.at == 0 {
                return Ok(None);
            }
            self.read_block()?;
        }
    }

    fn take(&mut self, start: usize, end: usize) -> (u64, Vec<u8>) {
        let record = self.buffer[start..end].to_vec();
        // The newline before the record stays: it ends the next one.
        self.buffer.truncate(start);
        (self.at + start as u64, record)
    }

    fn read_block(&mut self) -> io::Result<()> {
        let size = BLOCK.min(usize::try_from(self.at).unwrap_or(BLOCK));
        let from = self.at - size as u64;
        let mut block = vec![0; size];
        self.file.read_exact_at(&mut block, from)?;
        block.append(&mut self.buffer);
        self.buffer = block;
        self.at = from;
        Ok(())
    }
}

fn rposition(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The text from where the last `lines` begin.
    fn last(text: &str, lines: usize) -> String {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let start = start_of_last(&file, text.len() as u64, lines).expect("read");
        text[usize::try_from(start).expect("small")..].to_owned()
    }

    fn record(tag: char, text: &str) -> String {
        format!("2026-11-21T10:00:00Z stdout {tag} {text}\n")
    }

    #[test]
    fn counts_whole_lines() {
        let text: String = (0..5).map(|n| record('F', &n.to_string())).collect();
        assert_eq!(last(&text, 2), record('F', "3") + &record('F', "4"));
        assert_eq!(last(&text, 5), text);
        assert_eq!(last(&text, 9), text);
        assert_eq!(last(&text, 0), "");
        assert_eq!(last("", 3), "");
    }

    #[test]
    fn split_lines_count_once() {
        let split = record('P', "a") + &record('P', "b") + &record('F', "c");
        let text = record('F', "0") + &split + &record('F', "2");
        assert_eq!(last(&text, 2), split.clone() + &record('F', "2"));
        assert_eq!(last(&text, 1), record('F', "2"));
        assert_eq!(last(&(record('F', "0") + &split), 1), split);
    }

    #[test]
    fn an_unfinished_record_follows_the_last_line() {
        let text = record('F', "0") + &record('F', "1") + "2026-11-21T10:00:00Z std";
        assert_eq!(last(&text, 1), record('F', "1") + "2026-11-21T10:00:00Z std");
    }

    #[test]
    fn records_larger_than_a_block() {
        let long = record('F', &"x".repeat(3 * BLOCK));
        let text = record('F', "0") + &long + &long;
        assert_eq!(last(&text, 2), long.repeat(2));
        assert_eq!(last(&text, 3), text);
    }
}
