//! What all operations share.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use reeve_image::{Image, Images};
use reeve_network::Network;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::state::{ContainerEntry, SandboxEntry, Table};
use crate::cgroup::Hierarchies;
use crate::config::Config;
use crate::error::{Error, IoContext, Result};
use crate::store::Store;
use crate::types::{Event, EventKind};
use crate::user::Accounts;

/// Events that a slow subscriber may be behind.
const EVENTS: usize = 4096;
/// Images whose accounts are remembered.
const ACCOUNTS: usize = 256;

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) images: Images,
    pub(crate) network: Network,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) sandboxes: Table<SandboxEntry>,
    pub(crate) containers: Table<ContainerEntry>,
    pub(crate) events: broadcast::Sender<Event>,
    /// Ends the tasks that watch shims.
    pub(crate) closing: CancellationToken,
    pub(crate) tasks: TaskTracker,
    accounts: Mutex<HashMap<String, Arc<Accounts>>>,
    pub(crate) store: Store,
}

impl Inner {
    pub(crate) fn new(
        config: Config,
        images: Images,
        network: Network,
        hierarchies: Hierarchies,
        store: Store,
    ) -> Self {
        Self {
            config,
            images,
            network,
            hierarchies,
            sandboxes: Table::default(),
            containers: Table::default(),
            events: broadcast::Sender::new(EVENTS),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            accounts: Mutex::default(),
            store,
        }
    }

    pub(crate) fn publish(&self, kind: EventKind, sandbox: &str, container: &str) {
        let event = Event {
            kind,
            sandbox_id: sandbox.to_owned(),
            container_id: container.to_owned(),
            timestamp: now(),
        };
        // Nobody listening is no failure.
        let _ = self.events.send(event);
    }

    /// Containers of a sandbox, also those being made.
    pub(crate) fn containers_of(&self, sandbox: &str) -> Vec<Arc<ContainerEntry>> {
        self.containers.all_with(|container| container.sandbox.id == sandbox)
    }

    /// An image's users and groups. Images never change, so they are read once.
    pub(crate) async fn accounts(&self, image: &Image, lowers: &[PathBuf]) -> Result<Arc<Accounts>> {
        let id = image.id.to_string();
        let lock = || self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&id) {
            return Ok(known.clone());
        }
        let lowers = lowers.to_vec();
        let accounts = Arc::new(blocking(move || Accounts::of_image(&lowers)).await?);
        let mut all = lock();
        if all.len() >= ACCOUNTS {
            all.clear();
        }
        all.insert(id, accounts.clone());
        Ok(accounts)
    }
}

/// Runs what waits for the disk or the kernel beside the tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that is being taken down cancels such work.
        Err(error) => {
            Err(Error::Io { action: "finish work in", path: "runtime".into(), source: error.into() })
        }
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

/// 64 hexadecimal digits, as all container tools expect.
pub(crate) fn new_id() -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a name is one that [`new_id`] gives.
pub(crate) fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes a directory with its parents; one that is there is well.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).at("make directory", path)
}

/// As [`make_dir`], for root alone: it holds what others may not read, or programs that others may not run.
pub(crate) fn make_private_dir(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).at("make directory", path)
}

/// Removes a tree; one that is not there is well. Links in it are not followed.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove directory", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ids() {
        assert!(is_id(&new_id()));
        assert_ne!(new_id(), new_id());
        for name in ["", "abc", &"g".repeat(64), &"A".repeat(64)] {
            assert!(!is_id(name), "{name}");
        }
    }
}
