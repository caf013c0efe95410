//! Opening a log file at the line where reading begins.

use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::fs::File;

use super::tail;

/// An opened log file.
pub(super) struct Opened {
    pub(super) file: File,
    /// By which rotation is noticed.
    pub(super) inode: u64,
    /// Where reading begins.
    pub(super) position: u64,
}

/// Opens the log at `path` at its beginning, or where its last `lines` lines begin.
pub(super) async fn open(path: &Path, lines: Option<usize>) -> io::Result<Opened> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || open_blocking(&path, lines)).await?
}

fn open_blocking(path: &Path, lines: Option<usize>) -> io::Result<Opened> {
    let mut file = std::fs::File::open(path)?;
    let meta = file.metadata()?;
    let position = match lines {
        Some(lines) => tail::start_of_last(&file, meta.len(), lines)?,
        None => 0,
    };
    file.seek(SeekFrom::Start(position))?;
    Ok(Opened { file: File::from_std(file), inode: meta.ino(), position })
}
