//! What the engine knows, on disk: records of sandboxes and containers.
//!
//! Two copies (docs/decisions/0004-state-store.md says why). The *live* copy, in the state directory, is
//! written before each call returns and never synced: it outlives the daemon, and is worth nothing after a
//! reboot. The *durable* copy, in the root, follows within a fraction of a second with a synced commit: it
//! outlives the reboot. [`Store::open`] tells which of the two it read.
//!
//! Threads: one writes the live copy and takes all records that wait into one transaction; one writes the
//! durable copy. Both end when the store is dropped, the durable copy first brought up to date.

mod boot;
mod database;
mod durable;
mod error;
mod live;
mod lock;
mod record;
#[cfg(test)]
pub(crate) mod samples;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use boot::boot_id;
pub use error::StoreError;
use record::Key;
pub(crate) use record::{ContainerPhase, ContainerRecord, Record, SandboxPhase, SandboxRecord, User};

use database::Database;
use durable::Durable;
use live::Live;

/// A record to be written, or (without value) taken out.
#[derive(Clone, Debug)]
struct Change {
    key: String,
    value: Option<Arc<[u8]>>,
}

/// Both copies, and the locks that keep other engines away from them. The order of the fields is that of their
/// ends: each thread still needs what comes after it.
#[derive(Debug)]
pub(crate) struct Store {
    live: Live,
    durable: Durable,
    _locks: [lock::Lock; 2],
}

/// What the store held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) sandboxes: Vec<SandboxRecord>,
    pub(crate) containers: Vec<ContainerRecord>,
    /// The machine has started anew, or the state directory was swept, since the records were written.
    pub(crate) rebooted: bool,
    /// The machine runs since before the records were written: process ids in them mean something.
    pub(crate) same_boot: bool,
}

impl Store {
    /// Locks both directories, which exist, and reads the newer copy.
    pub(crate) fn open(root: &Path, state: &Path) -> crate::Result<(Store, Loaded)> {
        let locks = [lock::Lock::take(root)?, lock::Lock::take(state)?];
        let boot = boot_id()?;
        let (durable, same_boot) = Database::durable(&root.join("state.redb"), &boot)?;
        let (live, fresh) = Database::live(&state.join("state.redb"), &boot)?;
        let source = if fresh { &durable } else { &live };
        let entries = source.read_all()?;
        let loaded = Loaded { rebooted: fresh, same_boot, ..decode(&entries)? };
        if fresh {
            live.write(&entries.iter().map(change).collect::<Vec<_>>())?;
        }
        let behind = differences(&durable.read_all()?, &entries);
        let durable = Durable::spawn(durable, behind);
        Ok((Store { live: Live::spawn(live, durable.follower()), durable, _locks: locks }, loaded))
    }

    /// Writes a record; returns when the daemon's death cannot lose it any more.
    pub(crate) async fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let change = Change { key: R::KIND.key(record.id()), value: Some(record::encode(record)?.into()) };
        self.live.write(change).await
    }

    /// Takes a record out; one that is not there is no failure.
    pub(crate) async fn remove<R: Record>(&self, id: &str) -> Result<(), StoreError> {
        self.live.write(Change { key: R::KIND.key(id), value: None }).await
    }

    /// Returns when the durable copy is up to date.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let durable = self.durable.follower();
        tokio::task::spawn_blocking(move || durable.flush()).await.map_err(|_| StoreError::Closed)?
    }
}

type Entries = BTreeMap<String, Vec<u8>>;

fn change((key, value): (&String, &Vec<u8>)) -> Change {
    Change { key: key.clone(), value: Some(value.as_slice().into()) }
}

fn decode(entries: &Entries) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    for (key, value) in entries {
        match Key::parse(key) {
            Some(Key::Sandbox) => loaded.sandboxes.push(record::decode(key, value)?),
            Some(Key::Container) => loaded.containers.push(record::decode(key, value)?),
            None => return Err(StoreError::Unknown(key.clone())),
        }
    }
    Ok(loaded)
}

/// What makes `old` the same as `new`.
fn differences(old: &Entries, new: &Entries) -> Vec<Change> {
    let gone =
        old.keys().filter(|key| !new.contains_key(*key)).map(|key| Change { key: key.clone(), value: None });
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(change);
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests;
