//! A container's end.

use std::sync::Arc;

use reeve_proto::shim::Exit;

use crate::engine::inner::Inner;
use crate::engine::state::ContainerEntry;
use crate::error::{Result, chain};
use crate::failpoint;
use crate::store::{ContainerPhase, ContainerRecord};
use crate::types::EventKind;

impl Inner {
    /// Takes note of an end that the shim told of, and lets the shim free what the container held.
    pub(crate) async fn container_ended(&self, entry: &Arc<ContainerEntry>, exit: &Exit) {
        if let Err(error) = self.take_exit(entry, exit).await {
            // The exit record stays in the shim, and is taken at the next start at the latest.
            tracing::error!(container = entry.id, "cannot record its end: {}", chain(&error));
            return;
        }
        if let Err(error) = entry.sandbox.shim.delete(&entry.id).await {
            tracing::debug!(container = entry.id, "the shim keeps it: {}", chain(&error));
        }
        failpoint::pass("container_exit.after_delete");
    }

    /// Takes note of an end, unless there is one already.
    pub(crate) async fn take_exit(&self, entry: &Arc<ContainerEntry>, exit: &Exit) -> Result<()> {
        let outcome = |record: &mut ContainerRecord| {
            let before = record.phase;
            if matches!(before, ContainerPhase::Starting | ContainerPhase::Running) {
                note_exit(record, exit);
            }
            before
        };
        let before = entry.record.change(&self.store, outcome).await?;
        failpoint::pass("container_exit.after_outcome");
        entry.ended.send_replace(true);
        if before == ContainerPhase::Starting {
            self.publish(EventKind::ContainerStarted, &entry.sandbox.id, &entry.id);
        }
        if matches!(before, ContainerPhase::Starting | ContainerPhase::Running) {
            self.publish(EventKind::ContainerStopped, &entry.sandbox.id, &entry.id);
        }
        Ok(())
    }
}

fn note_exit(record: &mut ContainerRecord, exit: &Exit) {
    record.phase = ContainerPhase::Exited;
    record.pid = 0;
    record.exit_code = exit.exit_code;
    record.reason = match exit {
        Exit { oom_killed: true, .. } => "OOMKilled",
        Exit { exit_code: 0, .. } => "Completed",
        _ => "Error",
    }
    .to_owned();
    record.finished_at = exit.exited_at_ns;
    if record.started_at == 0 {
        record.started_at = exit.exited_at_ns;
    }
}
