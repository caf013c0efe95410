//! What changes in directories: inotify (man 7 inotify).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::time::Instant;

/// How long a file that is being written is waited for; after that what is there is taken.
pub(super) const HALF_WRITTEN: Duration = Duration::from_secs(1);

/// Watches directories. Every event means: look again.
pub(super) struct Watcher {
    watches: Watches,
    events: EventStream<Vec<u8>>,
    directories: HashMap<WatchDescriptor, PathBuf>,
    /// Files that are open for writing, since when.
    open: BTreeMap<PathBuf, Instant>,
}

impl Watcher {
    pub(super) fn new() -> io::Result<Watcher> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let events = inotify.into_event_stream(vec![0; 64 << 10])?;
        Ok(Watcher { watches, events, directories: HashMap::new(), open: BTreeMap::new() })
    }

    /// Watches a directory; one that is watched already stays so.
    pub(super) fn add(&mut self, directory: &Path) -> io::Result<()> {
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF;
        let descriptor = self.watches.add(directory, mask)?;
        self.directories.insert(descriptor, directory.to_path_buf());
        Ok(())
    }

    /// Waits until something changed.
    pub(super) async fn changed(&mut self) {
        match self.events.next().await {
            Some(Ok(event)) => self.note(&event),
            // The stream has no end; an error means that events are lost, so look again, but not at once.
            Some(Err(_)) | None => tokio::time::sleep(HALF_WRITTEN).await,
        }
    }

    /// Takes all that has come by now.
    pub(super) fn drain(&mut self) {
        while let Some(Some(Ok(event))) = self.events.next().now_or_never() {
            self.note(&event);
        }
    }

    fn note(&mut self, event: &Event<std::ffi::OsString>) {
        if event.mask.contains(EventMask::IGNORED) {
            self.directories.remove(&event.wd);
            return;
        }
        let (Some(directory), Some(name)) = (self.directories.get(&event.wd), &event.name) else { return };
        let path = directory.join(name);
        if event.mask.contains(EventMask::ISDIR) {
            return;
        }
        if event.mask.contains(EventMask::MODIFY)
            || (event.mask.contains(EventMask::CREATE) && is_new_file(&path))
        {
            self.open.insert(path, Instant::now());
        } else if !event.mask.contains(EventMask::ATTRIB) {
            self.open.remove(&path);
        }
    }

    /// Files that somebody is writing now.
    pub(super) fn half_written(&mut self) -> BTreeSet<PathBuf> {
        self.open.retain(|_, since| since.elapsed() < HALF_WRITTEN);
        self.open.keys().cloned().collect()
    }
}

/// Whether a file was made by opening it; links are made whole.
fn is_new_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.nlink() == 1)
}
