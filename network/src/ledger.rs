//! Who has which address and which host ports: written down before it is used.
//!
//! One small file, replaced as a whole by rename. It is not flushed to the disk: what it tells of lives in the
//! kernel's memory, and is gone together with an unflushed file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::addresses::Plan;
use crate::config::PortMapping;
use crate::error::{Error, Result};

/// A pod's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) slot: u32,
    pub(crate) ports: Vec<PortMapping>,
    /// Whether everything was made. Otherwise the pod is on its way in or out, or its maker crashed.
    pub(crate) complete: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    subnets: Vec<String>,
    /// The slot that was given out last.
    last: u32,
    pods: BTreeMap<String, Entry>,
}

/// The open ledger; nobody else can open it meanwhile.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    contents: Contents,
    _lock: Flock<File>,
}

impl Ledger {
    /// Opens the ledger in a directory, which is made if it is missing.
    pub(crate) fn open(directory: &Path, plan: &Plan) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|source| Error::file("create", directory, source))?;
        let lock = lock(&directory.join("lock"))?;
        let path = directory.join("ledger.json");
        let subnets: Vec<_> = plan.subnets().iter().map(ToString::to_string).collect();
        let contents = match read(&path)? {
            Some(contents) if contents.subnets == subnets => contents,
            Some(contents) if !contents.pods.is_empty() => {
                let (was, now) = (contents.subnets.join(", "), subnets.join(", "));
                return Err(Error::SubnetChanged { path, pods: contents.pods.len(), was, now });
            }
            _ => Contents { subnets, last: 0, pods: BTreeMap::new() },
        };
        Ok(Self { path, contents, _lock: lock })
    }

    /// The pod's line.
    pub(crate) fn get(&self, id: &str) -> Option<&Entry> {
        self.contents.pods.get(id)
    }

    /// All lines.
    pub(crate) fn pods(&self) -> impl Iterator<Item = (&str, &Entry)> + Clone {
        self.contents.pods.iter().map(|(id, entry)| (id.as_str(), entry))
    }

    /// Gives a pod a slot that nobody has, and writes it down as not complete.
    pub(crate) fn allocate(&mut self, plan: &Plan, id: &str, ports: &[PortMapping]) -> Result<Entry> {
        let used = |slot| self.contents.pods.values().any(|entry| entry.slot == slot);
        let slot = plan.next(self.contents.last, used)?;
        let entry = Entry { slot, ports: ports.to_vec(), complete: false };
        let written = entry.clone();
        self.change(|contents| {
            contents.last = slot;
            contents.pods.insert(id.to_owned(), written);
        })?;
        Ok(entry)
    }

    /// Replaces a pod's line.
    pub(crate) fn set(&mut self, id: &str, entry: Entry) -> Result<()> {
        self.change(|contents| drop(contents.pods.insert(id.to_owned(), entry)))
    }

    /// Strikes a pod out.
    pub(crate) fn remove(&mut self, id: &str) -> Result<()> {
        if !self.contents.pods.contains_key(id) {
            return Ok(());
        }
        self.change(|contents| drop(contents.pods.remove(id)))
    }

    /// On the disk first, then here: a failure leaves both as they were.
    fn change(&mut self, edit: impl FnOnce(&mut Contents)) -> Result<()> {
        let mut contents = self.contents.clone();
        edit(&mut contents);
        let text = serde_json::to_vec(&contents)
            .map_err(|source| Error::Ledger { path: self.path.clone(), source })?;
        let new = self.path.with_extension("new");
        let write = || File::create(&new)?.write_all(&text);
        write().map_err(|source| Error::file("write", &new, source))?;
        fs::rename(&new, &self.path).map_err(|source| Error::file("write", &self.path, source))?;
        self.contents = contents;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Contents>> {
    let bytes = match fs::read(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|source| Error::file("read", path, source))?,
    };
    // What a power cut leaves of a file that never reached the disk.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Ledger { path: path.to_owned(), source })
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|source| Error::file("open", path, source))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Locked(path.to_owned()),
        errno => Error::file("lock", path, errno),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        Plan::new(text.parse().expect("a subnet"), None).expect("a plan")
    }

    #[test]
    fn survives_a_restart_and_goes_on_round() {
        let directory = tempfile::tempdir().expect("a directory");
        let plan = plan("10.1.0.0/29");
        let mut ledger = Ledger::open(directory.path(), &plan).expect("a ledger");
        let a = ledger.allocate(&plan, "a", &[]).expect("an address");
        let b = ledger.allocate(&plan, "b", &[]).expect("an address");
        ledger.remove("b").expect("removal");
        assert!(matches!(Ledger::open(directory.path(), &plan), Err(Error::Locked(_))));
        drop(ledger);

        let mut ledger = Ledger::open(directory.path(), &plan).expect("a ledger");
        assert_eq!(ledger.get("a"), Some(&a));
        let c = ledger.allocate(&plan, "c", &[]).expect("an address");
        assert_ne!(c.slot, b.slot, "b's address rests first");
    }

    #[test]
    fn another_subnet_only_when_empty() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, other) = (plan("10.1.0.0/24"), plan("10.2.0.0/24"));
        let mut ledger = Ledger::open(directory.path(), &one).expect("a ledger");
        ledger.allocate(&one, "a", &[]).expect("an address");
        drop(ledger);
        let error = Ledger::open(directory.path(), &other).expect_err("still in use").to_string();
        assert!(error.contains("1 pods still have addresses of 10.1.0.0/24"), "{error}");

        let mut ledger = Ledger::open(directory.path(), &one).expect("a ledger");
        ledger.remove("a").expect("removal");
        drop(ledger);
        Ledger::open(directory.path(), &other).expect("a fresh start");
    }

    #[test]
    fn what_a_crash_can_leave() {
        let directory = tempfile::tempdir().expect("a directory");
        let plan = plan("10.1.0.0/24");
        let path = directory.path().join("ledger.json");
        fs::write(directory.path().join("ledger.new"), "{\"subn").expect("a file");
        for torn in ["", "\0\0\0"] {
            fs::write(&path, torn).expect("a file");
            Ledger::open(directory.path(), &plan).expect("a fresh start");
        }
        fs::write(&path, "nonsense").expect("a file");
        assert!(matches!(Ledger::open(directory.path(), &plan), Err(Error::Ledger { .. })));
    }
}
