//! A shim that ended without being asked to: killed by a person, or by the kernel for memory.

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use reeve_proto::shim::Exit;

use crate::engine::inner::{Inner, blocking, now};
use crate::engine::state::SandboxEntry;
use crate::error::{Result, chain};
use crate::store::{ContainerPhase, SandboxPhase};
use crate::types::EventKind;

impl Inner {
    /// Takes note of a shim's end. Nothing to do when it was asked for.
    pub(crate) async fn shim_lost(&self, entry: &Arc<SandboxEntry>) {
        let _operation = entry.operation.write().await;
        if entry.record.get().phase != SandboxPhase::Ready {
            return;
        }
        tracing::error!(sandbox = entry.id, "the shim ended; its containers are killed");
        if let Err(error) = self.lose(entry).await {
            tracing::error!(sandbox = entry.id, "{}", chain(&error));
        }
    }

    /// With the sandbox's lock held for writing.
    pub(crate) async fn lose(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        entry.record.change(&self.store, |record| record.phase = SandboxPhase::Lost).await?;
        self.publish(EventKind::SandboxStopped, &entry.id, "");
        let (hierarchies, cgroup) = (self.hierarchies.clone(), entry.record.get().cgroup.clone());
        let ids: Vec<_> =
            self.containers_of(&entry.id).iter().map(|container| container.id.clone()).collect();
        let killed =
            blocking(move || ids.iter().try_for_each(|id| hierarchies.kill(&cgroup.container_dir(id)))).await;
        self.settle_containers(entry).await?;
        killed
    }

    /// Gives an end to each container that had none when its shim went: by its exit record, or by the kill that
    /// it must have got.
    pub(crate) async fn settle_containers(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        for container in self.containers_of(&entry.id) {
            let phase = container.record.get().phase;
            if !matches!(phase, ContainerPhase::Running | ContainerPhase::Starting) {
                continue;
            }
            let exit = recorded_exit(entry.shim.dir(), &container.id).unwrap_or_else(|| Exit {
                container_id: container.id.clone(),
                exit_code: 128 + libc::SIGKILL,
                exited_at_ns: now(),
                ..Exit::default()
            });
            self.take_exit(&container, &exit).await?;
        }
        Ok(())
    }
}

/// The record that a shim left of a container's end. One that cannot be read is as good as none.
pub(crate) fn recorded_exit(shim_dir: &Path, container: &str) -> Option<Exit> {
    let bytes = std::fs::read(shim_dir.join("exits").join(container)).ok()?;
    Exit::decode(&*bytes).ok()
}
