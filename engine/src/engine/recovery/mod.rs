//! From what the store says to what is so: after a restart of the daemon, and after a reboot.
//!
//! 1. Shims that no record names are killed: their daemon died before it could write them down.
//! 2. Each sandbox is settled by its phase: half-made ones are undone, half-stopped and half-removed ones are
//!    finished, ready ones are reconciled with what their shim says. After a reboot there are no shims, and all
//!    that ran has ended.
//! 3. What belongs to no record is swept away, below our own directories and names only.

mod reboot;
mod reconcile;
mod sweep;

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::inner::Inner;
use super::state::{ContainerEntry, SandboxEntry};
use crate::error::{Result, chain};
use crate::shim::Client;
use crate::store::{ContainerPhase, Loaded, SandboxPhase};

/// Sandboxes settled at the same time.
const PARALLEL: usize = 16;

impl Inner {
    pub(crate) async fn recover(self: &Arc<Self>, loaded: Loaded) -> Result<()> {
        let rebooted = loaded.rebooted;
        self.fill_tables(loaded);
        self.end_unknown_shims().await?;
        let sandboxes = self.sandboxes.all_with(|_| true);
        let settling = sandboxes.into_iter().map(|entry| async move {
            if let Err(error) = self.settle(&entry, rebooted).await {
                // It stays in its phase, and is tried again when it is stopped or removed, or at the next start.
                tracing::error!(sandbox = entry.id, "cannot recover: {}", chain(&error));
            }
        });
        stream::iter(settling).buffer_unordered(PARALLEL).collect::<()>().await;
        self.sweep().await;
        Ok(())
    }

    fn fill_tables(&self, loaded: Loaded) {
        for mut record in loaded.sandboxes {
            if !loaded.same_boot {
                // The number may be another process's by now.
                record.shim = None;
            }
            let shim = Client::new(self.config.shim_dir(&record.id));
            // Two records have two keys, so nothing can collide.
            let _ = self.sandboxes.reserve(SandboxEntry::new(record, shim), |_| false);
        }
        for record in loaded.containers {
            match self.sandboxes.get(&record.sandbox_id) {
                Some(sandbox) => {
                    let _ = self.containers.reserve(ContainerEntry::new(record, sandbox), |_| false);
                }
                // A sandbox goes after its containers, so this takes a reboot that lost the last moments. The
                // directories are swept.
                None => tracing::warn!(container = record.id, "its sandbox is gone"),
            }
        }
    }

    async fn settle(self: &Arc<Self>, entry: &Arc<SandboxEntry>, rebooted: bool) -> Result<()> {
        let _operation = entry.operation.write().await;
        if rebooted {
            self.settle_after_reboot(entry).await?;
        }
        for container in self.containers_of(&entry.id) {
            if container.record.get().phase == ContainerPhase::Creating {
                self.forget_container(&container).await?;
            }
        }
        match entry.record.get().phase {
            SandboxPhase::Creating => {
                self.take_down(entry).await?;
                return self.forget_sandbox(entry).await;
            }
            SandboxPhase::Removing => return self.remove_locked(entry).await,
            SandboxPhase::Stopping => self.stop_locked(entry).await?,
            SandboxPhase::Ready => self.settle_ready(entry).await?,
            SandboxPhase::Lost | SandboxPhase::Stopped => {}
        }
        for container in self.containers_of(&entry.id) {
            if container.record.get().phase == ContainerPhase::Removing {
                self.remove_container_locked(&container).await?;
            }
        }
        Ok(())
    }

    async fn settle_ready(self: &Arc<Self>, entry: &Arc<SandboxEntry>) -> Result<()> {
        let process = entry.record.get().shim;
        let alive = process.is_some_and(|process| matches!(process.open(), Ok(Some(_))));
        let Some(process) = process.filter(|_| alive) else {
            return self.lose(entry).await;
        };
        let settled = match self.undo_starts(entry).await {
            Ok(()) => self.reconcile(entry).await,
            Err(error) => Err(error),
        };
        self.repeat_updates(entry).await;
        // A shim that does not answer now may do so later; its task keeps trying.
        self.watch(entry, process);
        settled
    }
}
