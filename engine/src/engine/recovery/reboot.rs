//! What a reboot leaves: records, and nothing that runs.

use std::sync::Arc;

use crate::engine::inner::{Inner, now};
use crate::engine::state::SandboxEntry;
use crate::error::Result;
use crate::store::{ContainerPhase, ContainerRecord, SandboxPhase};

/// What the kubelet, and containerd, say of a container whose end nobody saw.
pub(crate) const UNKNOWN_EXIT: i32 = 255;
pub(crate) const UNKNOWN_REASON: &str = "Unknown";

impl Inner {
    /// Ends a sandbox in the books and frees what it still holds, like its address.
    pub(super) async fn settle_after_reboot(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        for container in self.containers_of(&entry.id) {
            container
                .record
                .change(&self.store, |record| note_unknown(record, "the node was restarted"))
                .await?;
            container.ended.send_replace(true);
        }
        if matches!(entry.record.get().phase, SandboxPhase::Creating | SandboxPhase::Removing) {
            return Ok(());
        }
        entry.record.change(&self.store, |record| record.phase = SandboxPhase::Stopping).await?;
        self.stop_locked(entry).await
    }
}

/// Ends a container whose end nobody saw.
pub(crate) fn note_unknown(record: &mut ContainerRecord, message: &str) {
    if !matches!(record.phase, ContainerPhase::Created | ContainerPhase::Starting | ContainerPhase::Running) {
        return;
    }
    record.phase = ContainerPhase::Exited;
    record.pid = 0;
    record.exit_code = UNKNOWN_EXIT;
    record.reason = UNKNOWN_REASON.to_owned();
    record.message = message.to_owned();
    record.finished_at = now();
}
