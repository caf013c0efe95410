//! The thread that writes the live copy.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::database::Database;
use super::durable::Follower;
use super::{Change, StoreError};

/// A change, and where to say that it is written. The error is told to all of a batch, so it is a text.
type Request = (Change, oneshot::Sender<Result<(), Arc<StoreError>>>);

#[derive(Debug)]
pub(super) struct Live {
    /// None only while it is dropped.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    pub(super) fn spawn(database: Database, durable: Arc<Follower>) -> Self {
        let (requests, receiver) = channel();
        let thread = std::thread::spawn(move || run(&database, &receiver, &durable));
        Self { requests: Some(requests), thread: Some(thread) }
    }

    pub(super) async fn write(&self, change: Change) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send((change, done)).map_err(|_| StoreError::Closed)?;
        let result = written.await.map_err(|_| StoreError::Closed)?;
        result.map_err(|error| StoreError::Batch(crate::error::chain(&*error)))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn run(database: &Database, requests: &Receiver<Request>, durable: &Follower) {
    while let Ok(first) = requests.recv() {
        let (changes, done): (Vec<_>, Vec<_>) = std::iter::once(first).chain(requests.try_iter()).unzip();
        let result = database.write(&changes).map_err(Arc::new);
        if result.is_ok() {
            durable.follow(changes);
        }
        for done in done {
            // A caller that has gone needs no answer.
            let _ = done.send(result.clone());
        }
    }
}
