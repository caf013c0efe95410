//! Reads a log file from some line on, joins what was split, and goes on in the file that rotation puts in
//! its place.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::Chunks;
use super::file::{self, Opened};
use super::join::Join;

/// How much is read at a time.
const BLOCK: usize = 64 << 10;

/// How a log is to be read.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    /// The last lines only.
    pub(super) tail: Option<usize>,
    /// Only what was written since.
    pub(super) since: Option<Timestamp>,
    /// Each line with its time before it.
    pub(super) timestamps: bool,
}

/// A log being read.
pub(super) struct Reader {
    path: PathBuf,
    join: Join,
    file: File,
    inode: u64,
    position: u64,
    /// A record whose newline has not come yet.
    rest: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path` and goes to where reading begins.
    pub(super) async fn open(path: &Path, options: Options) -> io::Result<Reader> {
        let Opened { file, inode, position } = file::open(path, options.tail).await?;
        let join = Join::new(options.since, options.timestamps);
        Ok(Reader { path: path.to_owned(), join, file, inode, position, rest: Vec::new() })
    }

    /// Where the log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies all that is there, and ends.
    pub(super) async fn copy(mut self, out: &Chunks) -> io::Result<()> {
        self.copy_available(out).await?;
        self.finish(out).await
    }

    /// Copies all that is there now.
    pub(super) async fn copy_available(&mut self, out: &Chunks) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        loop {
            let read = self.file.read(&mut block).await?;
            if read == 0 {
                return Ok(());
            }
            self.position += read as u64;
            self.rest.extend_from_slice(&block[..read]);
            let text = self.take_lines();
            if !text.is_empty() && out.send(Ok(Bytes::from(text))).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    /// Ends a line that will not be finished any more.
    pub(super) async fn finish(mut self, out: &Chunks) -> io::Result<()> {
        let mut text = Vec::new();
        if !self.rest.is_empty() {
            let record = std::mem::take(&mut self.rest);
            self.join.add(&record, &mut text);
        }
        self.join.finish(&mut text);
        if !text.is_empty() {
            // Nobody reads any more: then nothing is lost.
            let _ = out.send(Ok(Bytes::from(text))).await;
        }
        Ok(())
    }

    /// Opens the file that rotation has put in the place of this one, or goes back to the beginning of one that
    /// was truncated; false where neither happened. To be called when all of this one was read.
    pub(super) async fn take_up_rotation(&mut self) -> io::Result<bool> {
        let now = match tokio::fs::metadata(&self.path).await {
            Ok(now) => now,
            // Between the rename and the reopening there is none; it will come.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if now.ino() == self.inode && now.len() >= self.position {
            return Ok(false);
        }
        let Opened { file, inode, position } = file::open(&self.path, None).await?;
        (self.file, self.inode, self.position) = (file, inode, position);
        Ok(true)
    }

    /// The text of all whole records read so far.
    fn take_lines(&mut self) -> Vec<u8> {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut text = Vec::with_capacity(whole.len());
        for record in whole[..end].split(|byte| *byte == b'\n') {
            self.join.add(record, &mut text);
        }
        text
    }
}
