//! A sandbox's containers, by what its shim says.

use std::collections::HashMap;
use std::sync::Arc;

use reeve_proto::shim::ContainerState;
use reeve_proto::shim::container_state::Status;

use super::reboot::note_unknown;
use crate::engine::inner::Inner;
use crate::engine::sandbox::recorded_exit;
use crate::engine::state::{ContainerEntry, SandboxEntry};
use crate::error::{Result, chain};
use crate::store::ContainerPhase;

impl Inner {
    /// Takes the ends that happened unheard. Containers that are being started or removed are left to those who
    /// do so.
    pub(crate) async fn reconcile(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        let running: Vec<_> = self.with_phase(entry, ContainerPhase::Running);
        let states = self.states(entry).await?;
        for container in running {
            match states.get(&container.id) {
                Some(ContainerState { exit: Some(exit), .. }) => self.container_ended(&container, exit).await,
                Some(_) => {}
                None => match recorded_exit(entry.shim.dir(), &container.id) {
                    Some(exit) => self.container_ended(&container, &exit).await,
                    None => self.lost_sight_of(&container).await?,
                },
            }
        }
        Ok(())
    }

    /// At start-up: finishes or takes back starts that were under way, and what the shim holds needlessly.
    pub(super) async fn undo_starts(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        let states = self.states(entry).await?;
        for container in self.with_phase(entry, ContainerPhase::Starting) {
            match states.get(&container.id) {
                Some(state) if matches!(state.status(), Status::Running | Status::Paused) => {
                    self.note_running(&container, state.pid, state.started_at_ns).await?;
                }
                Some(ContainerState { exit: Some(exit), started_at_ns: 1.., .. }) => {
                    self.container_ended(&container, exit).await;
                }
                // Its program never began: as if the start had not been asked for.
                _ => {
                    entry.shim.delete(&container.id).await?;
                    let back =
                        |record: &mut crate::store::ContainerRecord| record.phase = ContainerPhase::Created;
                    container.record.change(&self.store, back).await?;
                }
            }
        }
        for id in states.keys() {
            let phase = self.containers.get(id).map(|container| container.record.get().phase);
            if phase != Some(ContainerPhase::Running) {
                entry.shim.delete(id).await?;
            }
        }
        Ok(())
    }

    /// At start-up: sets limits whose setting may have been cut short.
    pub(super) async fn repeat_updates(&self, entry: &Arc<SandboxEntry>) {
        for container in self.containers_of(&entry.id) {
            let record = container.record.get();
            if !record.updating {
                continue;
            }
            if let Err(error) = self.apply(&container, &record.resources).await {
                tracing::warn!(container = container.id, "cannot set its limits: {}", chain(&error));
            }
            if let Err(error) = container.record.change(&self.store, |record| record.updating = false).await {
                tracing::warn!(container = container.id, "{}", chain(&error));
            }
        }
    }

    async fn lost_sight_of(&self, container: &Arc<ContainerEntry>) -> Result<()> {
        container
            .record
            .change(&self.store, |record| note_unknown(record, "the shim does not know it"))
            .await?;
        container.ended.send_replace(true);
        Ok(())
    }

    async fn states(&self, entry: &SandboxEntry) -> Result<HashMap<String, ContainerState>> {
        let list = entry.shim.list().await?;
        Ok(list.into_iter().map(|state| (state.container_id.clone(), state)).collect())
    }

    fn with_phase(&self, entry: &SandboxEntry, phase: ContainerPhase) -> Vec<Arc<ContainerEntry>> {
        let mut list = self.containers_of(&entry.id);
        list.retain(|container| container.record.get().phase == phase);
        list
    }
}
