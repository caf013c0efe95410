//! Where desired pods come from, and the mailbox through which every source speaks.
//!
//! A source owns a [`Mailbox`]. It reports *complete scans* (everything it has), or single changes once a
//! complete scan has been given. What a complete scan lacks is removed, but only after every source has given
//! one; what is on this page is all that the rest of the agent knows about sources.

pub mod cluster;
pub mod files;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use reeve_manifests::Diagnostic;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::pod::{DesiredPod, PodKey};

/// One pod's new desired state; `None` where it is no longer declared.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which pod.
    pub key: PodKey,
    /// What it should be.
    pub pod: Option<Arc<DesiredPod>>,
}

/// What a source sends.
#[derive(Clone, Debug)]
pub enum Message {
    /// Everything the source declares, at this moment.
    Complete {
        /// Name of the source.
        source: Arc<str>,
        /// All of its pods.
        pods: Vec<Arc<DesiredPod>>,
    },
    /// One pod changed since the last complete scan.
    Change {
        /// Name of the source.
        source: Arc<str>,
        /// The change.
        change: Change,
    },
}

/// A source as `GET /sources` shows it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    /// Name: a path, or `cluster`.
    pub name: String,
    /// Whether it has given a complete scan since the agent started.
    pub synced: bool,
    /// How many pods it declares.
    pub pods: usize,
    /// Number of complete scans.
    pub generation: u64,
    /// When its last complete scan came.
    pub last_scan: Option<Timestamp>,
    /// Why it cannot be read at all (connection refused, no such directory).
    pub error: Option<String>,
    /// What is wrong in what it declares; the last good version of these runs on.
    pub diagnostics: Vec<Diagnostic>,
}

/// States of all sources. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sources {
    states: Arc<Mutex<BTreeMap<Arc<str>, SourceState>>>,
    /// What the pool found to be declared by another source too, by source.
    conflicts: Arc<Mutex<BTreeMap<Arc<str>, Vec<Diagnostic>>>>,
}

impl Sources {
    /// All states, by name.
    pub fn list(&self) -> Vec<SourceState> {
        let mut states: Vec<SourceState> = self.lock().values().cloned().collect();
        let conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        for state in &mut states {
            state.diagnostics.extend(conflicts.get(state.name.as_str()).into_iter().flatten().cloned());
        }
        states
    }

    /// Replaces what of each source is declared by another one too; returns what is new of it.
    pub(crate) fn set_conflicts(&self, conflicts: BTreeMap<Arc<str>, Vec<Diagnostic>>) -> Vec<Diagnostic> {
        let mut known = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |source: &Arc<str>, d: &Diagnostic| !known.get(source).is_some_and(|k| k.contains(d));
        let new = conflicts
            .iter()
            .flat_map(|(source, list)| list.iter().filter(|d| is_new(source, d)).cloned())
            .collect();
        *known = conflicts;
        new
    }

    /// Whether every source has given a complete scan.
    pub fn all_synced(&self) -> bool {
        self.lock().values().all(|s| s.synced)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, SourceState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the mailbox of a new source; until its first complete scan nothing is pruned.
    pub fn mailbox(&self, name: &str, clock: Clock, messages: mpsc::UnboundedSender<Message>) -> Mailbox {
        let name: Arc<str> = name.into();
        let state = SourceState { name: name.to_string(), ..SourceState::default() };
        self.lock().insert(name.clone(), state);
        Mailbox { name, clock, messages, sources: self.clone() }
    }
}

/// What a source writes into.
#[derive(Clone)]
pub struct Mailbox {
    name: Arc<str>,
    clock: Clock,
    messages: mpsc::UnboundedSender<Message>,
    sources: Sources,
}

impl Mailbox {
    /// Name of the source, to be put into its [`DesiredPod`]s.
    pub fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// Reports everything the source declares; what is not among `pods` is removed.
    pub fn complete(&self, pods: Vec<Arc<DesiredPod>>) {
        self.update(|state| {
            state.synced = true;
            state.generation += 1;
            state.pods = pods.len();
            state.last_scan = Some(self.clock.now());
            state.error = None;
        });
        // The receiver lives as long as the agent; after it there is nobody to tell.
        let _ = self.messages.send(Message::Complete { source: self.name.clone(), pods });
    }

    /// Reports one pod's change after a complete scan. `pods` is the number of pods the source now declares.
    pub fn change(&self, change: Change, pods: usize) {
        self.update(|state| state.pods = pods);
        let _ = self.messages.send(Message::Change { source: self.name.clone(), change });
    }

    /// Says why the source cannot be read, or that it can be again.
    pub fn error(&self, error: Option<String>) {
        self.update(|state| state.error = error);
    }

    /// Replaces the list of what is wrong in what the source declares.
    pub fn diagnostics(&self, diagnostics: Vec<Diagnostic>) {
        self.update(|state| state.diagnostics = diagnostics);
    }

    fn update(&self, change: impl FnOnce(&mut SourceState)) {
        if let Some(state) = self.sources.lock().get_mut(&self.name) {
            change(state);
        }
    }
}
