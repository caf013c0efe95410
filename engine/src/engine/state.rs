//! What the engine knows, in memory: a copy of the store, with the locks that order operations.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, RwLock as AsyncRwLock, watch};

use crate::error::{Error, Result};
use crate::shim::Client;
use crate::store::{ContainerPhase, ContainerRecord, Record, SandboxPhase, SandboxRecord, Store};
use crate::types::{Container, ContainerState, Sandbox, SandboxState};

/// A record and the right to change it. Reading takes no more than a moment and touches no disk.
#[derive(Debug)]
pub(crate) struct Cell<R> {
    value: RwLock<Arc<R>>,
    writing: Mutex<()>,
}

impl<R: Record + Clone + PartialEq> Cell<R> {
    pub(crate) fn new(record: R) -> Self {
        Self { value: RwLock::new(Arc::new(record)), writing: Mutex::new(()) }
    }

    pub(crate) fn get(&self) -> Arc<R> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the record, on disk first. Changes of one record take their turns, so `change` sees the newest.
    pub(crate) async fn change<T>(&self, store: &Store, change: impl FnOnce(&mut R) -> T) -> Result<T> {
        let _turn = self.writing.lock().await;
        let old = self.get();
        let mut new = R::clone(&old);
        let result = change(&mut new);
        if new != *old {
            store.put(&new).await?;
            *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        }
        Ok(result)
    }
}

/// A sandbox.
#[derive(Debug)]
pub(crate) struct SandboxEntry {
    pub(crate) id: String,
    pub(crate) record: Cell<SandboxRecord>,
    /// Held for reading while a container of it is made, started or removed; for writing while it is made,
    /// stopped or removed itself.
    pub(crate) operation: AsyncRwLock<()>,
    pub(crate) shim: Arc<Client>,
}

impl SandboxEntry {
    pub(crate) fn new(record: SandboxRecord, shim: Client) -> Self {
        let id = record.id.clone();
        Self { id, record: Cell::new(record), operation: AsyncRwLock::new(()), shim: Arc::new(shim) }
    }

    /// The shim, or why there is none.
    pub(crate) fn ready(&self, action: &'static str) -> Result<&Arc<Client>> {
        match self.record.get().phase {
            SandboxPhase::Ready => Ok(&self.shim),
            phase => {
                let state = format!("{phase:?}").to_lowercase();
                Err(Error::WrongState { kind: "sandbox", id: self.id.clone(), state, action })
            }
        }
    }

    pub(crate) fn view(&self) -> Sandbox {
        let record = self.record.get();
        let ready = record.phase == SandboxPhase::Ready;
        Sandbox {
            id: record.id.clone(),
            spec: record.spec.clone(),
            state: if ready { SandboxState::Ready } else { SandboxState::NotReady },
            created_at: record.created_at,
            ips: record.ips.clone(),
            shim_pid: record.shim.filter(|_| ready).map_or(0, |shim| shim.pid),
        }
    }
}

/// A container.
#[derive(Debug)]
pub(crate) struct ContainerEntry {
    pub(crate) id: String,
    pub(crate) sandbox: Arc<SandboxEntry>,
    pub(crate) record: Cell<ContainerRecord>,
    /// Held while it is started, updated or removed. Taken after the sandbox's.
    pub(crate) operation: Mutex<()>,
    /// Turns true when it has ended, or is gone.
    pub(crate) ended: watch::Sender<bool>,
}

impl ContainerEntry {
    pub(crate) fn new(record: ContainerRecord, sandbox: Arc<SandboxEntry>) -> Self {
        let ended = watch::Sender::new(record.phase == ContainerPhase::Exited);
        Self { id: record.id.clone(), sandbox, record: Cell::new(record), operation: Mutex::new(()), ended }
    }

    /// The record of a running container, or why there is none.
    pub(crate) fn running(&self, action: &'static str) -> Result<Arc<ContainerRecord>> {
        let record = self.record.get();
        match record.phase {
            ContainerPhase::Running => Ok(record),
            phase => Err(self.wrong_state(phase, action)),
        }
    }

    pub(crate) fn wrong_state(&self, phase: ContainerPhase, action: &'static str) -> Error {
        let state = format!("{phase:?}").to_lowercase();
        Error::WrongState { kind: "container", id: self.id.clone(), state, action }
    }

    pub(crate) fn view(&self) -> Container {
        let record = self.record.get();
        Container {
            id: record.id.clone(),
            sandbox_id: record.sandbox_id.clone(),
            spec: record.spec.clone(),
            resources: record.resources.clone(),
            image_id: record.image_id.clone(),
            image_ref: record.image_ref.clone(),
            state: match record.phase {
                ContainerPhase::Creating | ContainerPhase::Created | ContainerPhase::Starting => {
                    ContainerState::Created
                }
                ContainerPhase::Running => ContainerState::Running,
                ContainerPhase::Exited => ContainerState::Exited,
                ContainerPhase::Removing if record.finished_at != 0 => ContainerState::Exited,
                ContainerPhase::Removing => ContainerState::Unknown,
            },
            created_at: record.created_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            exit_code: record.exit_code,
            reason: record.reason.clone(),
            message: record.message.clone(),
            log_path: record.log_path.clone(),
            pid: record.pid,
            uid: record.user.uid,
            gid: record.user.gid,
            groups: record.user.groups.clone(),
            stop_signal: record.stop_signal,
        }
    }
}

/// Entries by id. What is being made is in it too, so that names are taken, but is not shown.
#[derive(Debug)]
pub(crate) struct Table<E> {
    entries: RwLock<HashMap<String, Arc<E>>>,
}

impl<E> Default for Table<E> {
    fn default() -> Self {
        Self { entries: RwLock::default() }
    }
}

/// What a table holds.
pub(crate) trait Entry {
    const KIND: &'static str;
    fn id(&self) -> &str;
    fn shown(&self) -> bool;
    fn created_at(&self) -> i64;
}

impl Entry for SandboxEntry {
    const KIND: &'static str = "sandbox";
    fn id(&self) -> &str {
        &self.id
    }
    fn shown(&self) -> bool {
        self.record.get().phase != SandboxPhase::Creating
    }
    fn created_at(&self) -> i64 {
        self.record.get().created_at
    }
}

impl Entry for ContainerEntry {
    const KIND: &'static str = "container";
    fn id(&self) -> &str {
        &self.id
    }
    fn shown(&self) -> bool {
        self.record.get().phase != ContainerPhase::Creating
    }
    fn created_at(&self) -> i64 {
        self.record.get().created_at
    }
}

impl<E: Entry> Table<E> {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<E>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// By id, or by the beginning of exactly one.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<E>> {
        if let Some(entry) = self.get(id).filter(|entry| entry.shown()) {
            return Ok(entry);
        }
        let mut fits = self.all();
        fits.retain(|entry| !id.is_empty() && entry.id().starts_with(id));
        match (fits.pop(), fits.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(Error::NotFound { kind: E::KIND, id: id.to_owned() }),
            (Some(_), others) => {
                Err(Error::Ambiguous { kind: E::KIND, id: id.to_owned(), count: others + 1 })
            }
        }
    }

    /// As [`Table::find`]; what is not there, or is only being made, is none.
    pub(crate) fn find_for_removal(&self, id: &str) -> Result<Option<Arc<E>>> {
        match self.find(id) {
            Ok(entry) => Ok(Some(entry)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those that are shown, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<E>> {
        self.all_with(E::shown)
    }

    /// Those that fit, also where they are only being made.
    pub(crate) fn all_with(&self, fits: impl Fn(&E) -> bool) -> Vec<Arc<E>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = entries.values().filter(|entry| fits(entry)).cloned().collect();
        drop(entries);
        all.sort_by(|a, b| (a.created_at(), a.id()).cmp(&(b.created_at(), b.id())));
        all
    }

    /// Adds an entry unless `taken` finds one that it collides with.
    pub(crate) fn reserve(&self, entry: E, taken: impl Fn(&E) -> bool) -> Result<Arc<E>, String> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(holder) = entries.values().find(|other| taken(other)) {
            return Err(holder.id().to_owned());
        }
        let entry = Arc::new(entry);
        entries.insert(entry.id().to_owned(), entry.clone());
        Ok(entry)
    }

    pub(crate) fn remove(&self, id: &str) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn five_hundred_pods_are_listed_from_memory() {
        let (sandboxes, containers) = (Table::default(), Table::default());
        for number in 0..500 {
            let id = format!("{number:064}");
            let record = samples::sandbox(&id, Default::default());
            let sandbox =
                sandboxes.reserve(SandboxEntry::new(record, Client::new("/run/x")), |_| false).unwrap();
            for name in ["a", "b"] {
                let record = samples::container(&format!("{name}{number:063}"), &id, Default::default());
                containers.reserve(ContainerEntry::new(record, sandbox.clone()), |_| false).unwrap();
            }
        }
        let sandboxes: Vec<_> = sandboxes.all().iter().map(|entry| entry.view()).collect();
        let containers: Vec<_> = containers.all().iter().map(|entry| entry.view()).collect();
        assert_eq!((sandboxes.len(), containers.len()), (500, 1000));
    }

    struct Word(&'static str);

    impl Entry for Word {
        const KIND: &'static str = "word";
        fn id(&self) -> &str {
            self.0
        }
        fn shown(&self) -> bool {
            self.0 != "abhidden"
        }
        fn created_at(&self) -> i64 {
            0
        }
    }

    #[test]
    fn entries_are_found_by_prefix() {
        let table = Table::default();
        for id in ["ab", "abc", "bcd", "abhidden"] {
            table.reserve(Word(id), |_| false).ok().unwrap();
        }
        let find = |id: &str| table.find(id).map(|word| word.0).map_err(|error| error.to_string());
        assert_eq!(find("ab"), Ok("ab"));
        assert_eq!(find("abc"), Ok("abc"));
        assert_eq!(find("b"), Ok("bcd"));
        assert_eq!(find("a"), Err("word \"a\" is ambiguous: it begins the ids of 2".to_owned()));
        assert_eq!(find("x"), Err("word \"x\" not found".to_owned()));
        assert_eq!(find(""), Err("word \"\" not found".to_owned()));
        assert_eq!(find("abhidden"), Err("word \"abhidden\" not found".to_owned()));
        assert_eq!(table.reserve(Word("new"), |word| word.0 == "bcd").err(), Some("bcd".to_owned()));
        assert!(table.get("new").is_none());
    }
}
