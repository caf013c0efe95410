//! Removing a sandbox, with all that is known of it.

use std::sync::Arc;

use crate::engine::inner::{Inner, blocking, remove_dir};
use crate::engine::state::SandboxEntry;
use crate::error::Result;
use crate::failpoint;
use crate::store::{SandboxPhase, SandboxRecord};
use crate::types::EventKind;

impl Inner {
    pub(crate) async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let Some(entry) = self.sandboxes.find_for_removal(id)? else { return Ok(()) };
        let _operation = entry.operation.write().await;
        self.remove_locked(&entry).await
    }

    /// With the sandbox's lock held for writing.
    pub(crate) async fn remove_locked(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        if self.sandboxes.get(&entry.id).is_none() {
            return Ok(());
        }
        let stopped = entry.record.get().phase == SandboxPhase::Stopped;
        if !stopped {
            self.stop_locked(entry).await?;
        }
        failpoint::pass("remove_sandbox.after_stop");
        entry.record.change(&self.store, |record| record.phase = SandboxPhase::Removing).await?;
        failpoint::pass("remove_sandbox.after_intent");
        for container in self.containers_of(&entry.id) {
            let _operation = container.operation.lock().await;
            self.remove_container_locked(&container).await?;
        }
        failpoint::pass("remove_sandbox.after_containers");
        self.forget_sandbox(entry).await?;
        self.publish(EventKind::SandboxDeleted, &entry.id, "");
        Ok(())
    }

    /// Removes directories and record of a sandbox that was taken down.
    pub(crate) async fn forget_sandbox(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        let dirs = self.dirs(&entry.id);
        blocking(move || dirs.iter().try_for_each(|dir| remove_dir(dir))).await?;
        failpoint::pass("remove_sandbox.after_dirs");
        self.store.remove::<SandboxRecord>(&entry.id).await?;
        failpoint::pass("remove_sandbox.after_record");
        self.sandboxes.remove(&entry.id);
        Ok(())
    }
}
