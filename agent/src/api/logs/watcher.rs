//! Wakes when a log file or the directory around it changes.

use std::io;
use std::path::Path;

use inotify::{EventStream, Inotify, WatchMask};
use tokio_stream::StreamExt;

/// Watch of the directory of a log file, which sees writes and rotation alike.
pub(super) struct Watcher {
    stream: EventStream<[u8; 4096]>,
}

impl Watcher {
    /// Watches the directory of `log`.
    pub(super) fn new(log: &Path) -> io::Result<Watcher> {
        let inotify = Inotify::init()?;
        let dir = log.parent().unwrap_or(Path::new("/"));
        let mask = WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::DELETE;
        inotify.watches().add(dir, mask)?;
        Ok(Watcher { stream: inotify.into_event_stream([0; 4096])? })
    }

    /// Waits for a change.
    pub(super) async fn changed(&mut self) -> io::Result<()> {
        match self.stream.next().await {
            Some(event) => event.map(|_| ()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
