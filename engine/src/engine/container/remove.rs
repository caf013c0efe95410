//! Removing a container.

use std::sync::Arc;

use crate::engine::inner::{Inner, blocking, remove_dir};
use crate::engine::state::ContainerEntry;
use crate::error::{Result, chain};
use crate::failpoint;
use crate::store::{ContainerPhase, ContainerRecord, SandboxPhase};
use crate::types::EventKind;

impl Inner {
    pub(crate) async fn remove_container(&self, id: &str) -> Result<()> {
        let Some(entry) = self.containers.find_for_removal(id)? else { return Ok(()) };
        let _sandbox = entry.sandbox.operation.read().await;
        let _operation = entry.operation.lock().await;
        self.remove_container_locked(&entry).await
    }

    /// With the container's lock held.
    pub(crate) async fn remove_container_locked(&self, entry: &Arc<ContainerEntry>) -> Result<()> {
        if self.containers.get(&entry.id).is_none() {
            return Ok(());
        }
        entry.record.change(&self.store, |record| record.phase = ContainerPhase::Removing).await?;
        failpoint::pass("remove_container.after_intent");
        if entry.sandbox.record.get().phase == SandboxPhase::Ready {
            entry.sandbox.shim.delete(&entry.id).await?;
        }
        failpoint::pass("remove_container.after_delete");
        self.forget_container(entry).await?;
        self.publish(EventKind::ContainerDeleted, &entry.sandbox.id, &entry.id);
        Ok(())
    }

    /// Removes directories and record of a container without processes.
    pub(crate) async fn forget_container(&self, entry: &Arc<ContainerEntry>) -> Result<()> {
        let (bundle, layer) = (self.config.bundle_dir(&entry.id), self.config.layer_dir(&entry.id));
        blocking(move || {
            remove_dir(&bundle)?;
            failpoint::pass("remove_container.after_bundle");
            remove_dir(&layer)
        })
        .await?;
        failpoint::pass("remove_container.after_layer");
        self.store.remove::<ContainerRecord>(&entry.id).await.inspect_err(|error| {
            tracing::warn!(container = entry.id, "cannot forget: {}", chain(error));
        })?;
        failpoint::pass("remove_container.after_record");
        self.containers.remove(&entry.id);
        entry.ended.send_replace(true);
        Ok(())
    }
}
