//! A container's log file in the CRI format (`kubernetes/design-proposals: kubelet-cri-logging`): each line
//! is `TIME stdout|stderr P|F TEXT`, where `P` marks a piece of a line that goes on in the next entry.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::scratch::Scratch;
use crate::timestamp;

/// The longest piece of a line in one entry; longer lines are split (as containerd does).
pub(crate) const MAX_LINE: usize = 16 << 10;

/// An unfinished line's buffer above this is not kept for the next line.
const KEPT: usize = 512;

/// Which of the container's outputs a line came from. A terminal's output counts as stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A log that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open log {path}")]
pub(crate) struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// Writes output into the log. Nothing here waits or fails for want of space: what cannot be written is
/// dropped in whole lines and counted, for the container must go on.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// None: output is discarded.
    file: Option<File>,
    size: u64,
    unfinished: [Vec<u8>; 2],
    dropped: u64,
}

impl Log {
    /// Opens (makes) the log at `path`; an empty path discards.
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        let mut log = Log {
            path: path.to_owned(),
            file: None,
            size: 0,
            unfinished: [Vec::new(), Vec::new()],
            dropped: 0,
        };
        log.reopen()?;
        Ok(log)
    }

    /// Opens the path again, after a rotation renamed the file away. On failure the old file stays in use.
    pub(crate) fn reopen(&mut self) -> Result<(), LogError> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let failed = |source| LogError { path: self.path.clone(), source };
        // Non-blocking, for a FIFO put in the log's place must not stop the pod.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o640).custom_flags(flags).open(&self.path);
        let file = file.map_err(failed)?;
        self.size = file.metadata().map_err(failed)?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Appends what came from `origin` at this moment; `out` is room for the formatted lines.
    pub(crate) fn write(&mut self, origin: Origin, mut chunk: &[u8], out: &mut Scratch) {
        if self.file.is_none() {
            return;
        }
        let mut batch = Batch::new(origin, out);
        let mut unfinished = std::mem::take(&mut self.unfinished[origin as usize]);
        while !chunk.is_empty() {
            let room = MAX_LINE - unfinished.len();
            // One byte more than the room, for a line of exactly the greatest length is a whole line.
            match find_newline(&chunk[..chunk.len().min(room + 1)]) {
                Some(end) => {
                    batch.entry(self, b'F', &unfinished, &chunk[..end]);
                    unfinished.clear();
                    chunk = &chunk[end + 1..];
                }
                None if chunk.len() > room => {
                    batch.entry(self, b'P', &unfinished, &chunk[..room]);
                    unfinished.clear();
                    chunk = &chunk[room..];
                }
                None => {
                    unfinished.extend_from_slice(chunk);
                    break;
                }
            }
        }
        batch.flush(self);
        if unfinished.is_empty() && unfinished.capacity() > KEPT {
            unfinished = Vec::new();
        }
        self.unfinished[origin as usize] = unfinished;
    }

    /// Says that nothing more comes from `origin`: an unfinished line is written as it is.
    pub(crate) fn end(&mut self, origin: Origin, out: &mut Scratch) {
        let unfinished = std::mem::take(&mut self.unfinished[origin as usize]);
        if !unfinished.is_empty() && self.file.is_some() {
            let mut batch = Batch::new(origin, out);
            batch.entry(self, b'F', &unfinished, b"");
            batch.flush(self);
        }
    }

    /// Writes whole lines, or drops those that do not go in.
    fn append(&mut self, lines: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let mut written = 0;
        while written < lines.len() {
            match file.write(&lines[written..]) {
                Ok(count) if count > 0 => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    let reason = result.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into());
                    let whole =
                        lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    if whole < written {
                        // A torn line would swallow the next entry. Where it cannot be cut off (not a
                        // regular file) readers see one bad line.
                        let _ = file.set_len(self.size + whole as u64);
                    }
                    self.size += whole as u64;
                    self.lost((lines.len() - whole) as u64, &reason);
                    return;
                }
            }
        }
        self.size += written as u64;
        if self.dropped > 0 {
            crate::note(format_args!(
                "log {} takes output again, {} bytes were dropped",
                self.path.display(),
                self.dropped
            ));
            self.dropped = 0;
        }
    }

    fn lost(&mut self, bytes: u64, reason: &io::Error) {
        if self.dropped == 0 {
            crate::note(format_args!("log {}: output is dropped: {reason}", self.path.display()));
        }
        self.dropped += bytes;
    }
}

/// Entries of one moment, formatted next to each other and written together.
struct Batch<'a> {
    prefix: [u8; timestamp::LENGTH + 10],
    out: &'a mut Scratch,
    used: usize,
}

impl<'a> Batch<'a> {
    fn new(origin: Origin, out: &'a mut Scratch) -> Self {
        let mut prefix = [b' '; timestamp::LENGTH + 10];
        prefix[..timestamp::LENGTH].copy_from_slice(&timestamp::format(timestamp::now_ns()));
        let name = if origin == Origin::Stdout { b" stdout " } else { b" stderr " };
        prefix[timestamp::LENGTH..][..8].copy_from_slice(name);
        Batch { prefix, out, used: 0 }
    }

    fn entry(&mut self, log: &mut Log, tag: u8, begin: &[u8], rest: &[u8]) {
        let length = self.prefix.len() + begin.len() + rest.len() + 1;
        if self.out.len() - self.used < length {
            self.flush(log);
        }
        self.prefix[timestamp::LENGTH + 8] = tag;
        for part in [&self.prefix[..], begin, rest, b"\n"] {
            self.out[self.used..self.used + part.len()].copy_from_slice(part);
            self.used += part.len();
        }
    }

    fn flush(&mut self, log: &mut Log) {
        self.out.touched(self.used);
        log.append(&self.out[..self.used]);
        self.used = 0;
    }
}

fn find_newline(bytes: &[u8]) -> Option<usize> {
    // SAFETY: memchr reads at most `len` bytes of a live slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), i32::from(b'\n'), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of a log without their times.
    fn entries(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line[timestamp::LENGTH + 1..].to_owned()).collect()
    }

    fn logged(chunks: &[&[u8]]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut out = Scratch::new(32 << 10).unwrap();
        let mut log = Log::open(&path).unwrap();
        for chunk in chunks {
            log.write(Origin::Stdout, chunk, &mut out);
        }
        log.end(Origin::Stdout, &mut out);
        entries(&path)
    }

    #[test]
    fn lines_are_whole_wherever_the_reads_cut_them() {
        assert_eq!(
            logged(&[b"a\nb", b"c\n", b"\n", b"tail"]),
            ["stdout F a", "stdout F bc", "stdout F ", "stdout F tail"]
        );
    }

    #[test]
    fn a_line_of_the_greatest_length_is_one_entry_and_a_longer_one_is_split() {
        let longest = "x".repeat(MAX_LINE);
        let exact = logged(&[longest.as_bytes(), b"\nnext\n"]);
        assert_eq!(exact, [format!("stdout F {longest}"), "stdout F next".into()]);
        let longer = logged(&[longest.as_bytes(), b"yz\n"]);
        assert_eq!(longer, [format!("stdout P {longest}"), "stdout F yz".into()]);
        let at_once = logged(&[format!("{longest}yz\n").as_bytes()]);
        assert_eq!(at_once, longer);
    }

    #[test]
    fn a_batch_larger_than_the_room_is_written_in_several() {
        let lines = "\n".repeat(4000);
        assert_eq!(logged(&[lines.as_bytes()]).len(), 4000);
    }

    #[test]
    fn outputs_do_not_mix_their_unfinished_lines_and_a_reopen_follows_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut out = Scratch::new(32 << 10).unwrap();
        let mut log = Log::open(&path).unwrap();
        log.write(Origin::Stdout, b"out", &mut out);
        log.write(Origin::Stderr, b"err\n", &mut out);
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        log.reopen().unwrap();
        log.write(Origin::Stdout, b"put\n", &mut out);
        assert_eq!(entries(&dir.path().join("old")), ["stderr F err"]);
        assert_eq!(entries(&path), ["stdout F output"]);
    }
}
