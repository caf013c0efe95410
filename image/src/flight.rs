//! Work that many callers want and one does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch};
use tokio::task::AbortHandle;

use crate::Error;

/// A lock for each key. Who gets it looks whether the work is done already.
pub(crate) struct Keyed<K>(Mutex<HashMap<K, Weak<AsyncMutex<()>>>>);

impl<K> Default for Keyed<K> {
    fn default() -> Self {
        Keyed(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Keyed<K> {
    pub(crate) async fn lock(&self, key: &K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(AsyncMutex::new(()));
                    locks.insert(key.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

type Outcome<T> = Option<Result<T, Error>>;

/// A task that several callers wait for. It ends when the last of them goes away.
pub(crate) struct Flight<T, P> {
    outcome: watch::Receiver<Outcome<T>>,
    pub(crate) progress: watch::Receiver<P>,
    task: AbortHandle,
}

impl<T: Clone, P> Flight<T, P> {
    pub(crate) async fn wait(&self) -> Result<T, Error> {
        let mut outcome = self.outcome.clone();
        let result = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        result.unwrap_or(Err(Error::Cancelled { what: "the pull".to_owned() }))
    }
}

impl<T, P> Drop for Flight<T, P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Running flights by key.
pub(crate) struct Flights<K, T, P>(Mutex<HashMap<K, Weak<Flight<T, P>>>>);

impl<K, T, P> Default for Flights<K, T, P> {
    fn default() -> Self {
        Flights(Mutex::default())
    }
}

impl<K, T, P> Flights<K, T, P>
where
    K: Eq + Hash,
    T: Clone + Send + Sync + 'static,
    P: Default + Send + Sync + 'static,
{
    /// Joins the flight of `key`, or starts it. One that has landed is not joined: its answer is old.
    pub(crate) fn join<F>(&self, key: K, start: impl FnOnce(watch::Sender<P>) -> F) -> Arc<Flight<T, P>>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = flights.get(&key).and_then(Weak::upgrade)
            && flight.outcome.borrow().is_none()
            && !flight.task.is_finished()
        {
            return flight;
        }
        let (report, outcome) = watch::channel(None);
        let (sender, progress) = watch::channel(P::default());
        let work = start(sender);
        let task = tokio::spawn(async move {
            report.send_replace(Some(work.await));
        });
        let flight = Arc::new(Flight { outcome, progress, task: task.abort_handle() });
        flights.insert(key, Arc::downgrade(&flight));
        flight
    }
}
