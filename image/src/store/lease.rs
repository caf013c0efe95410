//! Leases: what garbage collection must leave alone although no name leads to it.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::{State, Store, lock_state};
use crate::Digest;

/// A blob, or an unpacked layer by its chain id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Blob(Digest),
    Layer(Digest),
}

/// Keeps blobs and layers while it lives. It is taken before looking whether they are there, so that
/// between the look and the use nothing disappears.
pub(crate) struct Lease {
    state: Arc<Mutex<State>>,
    keys: Vec<Key>,
}

impl Store {
    pub(crate) fn lease(&self, keys: impl IntoIterator<Item = Key>) -> Lease {
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut state = self.state();
        for key in &keys {
            *state.leases.entry(key.clone()).or_insert(0) += 1;
        }
        drop(state);
        Lease { state: Arc::clone(&self.state), keys }
    }
}

impl Lease {
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = lock_state(&self.state);
        for key in &self.keys {
            if let Some(count) = state.leases.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    state.leases.remove(key);
                }
            }
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.keys).finish()
    }
}
