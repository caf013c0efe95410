//! The thread that brings the durable copy up to date.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::database::Database;
use super::{Change, StoreError};

/// How long changes gather before a commit: long enough that the steps of one pod share it.
const GATHER: Duration = Duration::from_millis(250);
/// How long to wait after a failure (a full disk, most likely).
const RETRY: Duration = Duration::from_secs(5);

/// The durable copy's thread; dropping it commits what waits, and ends it.
#[derive(Debug)]
pub(super) struct Durable {
    follower: Arc<Follower>,
    thread: Option<JoinHandle<()>>,
}

/// The durable copy and what it lacks.
#[derive(Debug)]
pub(super) struct Follower {
    database: Database,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// Held during a commit, so that commits keep the order of the changes.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Newest change of each key.
    changes: BTreeMap<String, Change>,
    closed: bool,
}

impl Durable {
    pub(super) fn spawn(database: Database, behind: Vec<Change>) -> Self {
        let changes = behind.into_iter().map(|change| (change.key.clone(), change)).collect();
        let follower = Arc::new(Follower {
            database,
            waiting: Mutex::new(Waiting { changes, closed: false }),
            changed: Condvar::new(),
            writing: Mutex::new(()),
        });
        let thread = std::thread::spawn({
            let follower = follower.clone();
            move || follower.run()
        });
        Self { follower, thread: Some(thread) }
    }

    pub(super) fn follower(&self) -> Arc<Follower> {
        self.follower.clone()
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.follower.lock().closed = true;
        self.follower.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Follower {
    /// Takes note of changes that the live copy has.
    pub(super) fn follow(&self, changes: Vec<Change>) {
        let mut waiting = self.lock();
        waiting.changes.extend(changes.into_iter().map(|change| (change.key.clone(), change)));
        drop(waiting);
        self.changed.notify_all();
    }

    /// Commits what waits, now.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let _order = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = std::mem::take(&mut self.lock().changes);
        if changes.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = changes.values().cloned().collect();
        self.database.write(&list).inspect_err(|_| {
            // Back to those that wait, except where a newer change of the same key has come meanwhile.
            let mut waiting = self.lock();
            for (key, change) in changes {
                waiting.changes.entry(key).or_insert(change);
            }
        })
    }

    fn run(&self) {
        let mut pause = GATHER;
        loop {
            let idle = |waiting: &mut Waiting| waiting.changes.is_empty() && !waiting.closed;
            drop(self.changed.wait_while(self.lock(), idle));
            let open = |waiting: &mut Waiting| !waiting.closed;
            drop(self.changed.wait_timeout_while(self.lock(), pause, open));
            let flushed = self.flush();
            if let Err(error) = &flushed {
                tracing::error!("the state on disk is behind: {}", crate::error::chain(error));
            }
            pause = if flushed.is_ok() { GATHER } else { RETRY };
            if self.lock().closed {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
