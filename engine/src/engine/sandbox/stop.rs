//! Ending a sandbox. Each step is well when there is nothing left to do, so a stop that was cut short is
//! finished by doing it again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use crate::engine::inner::{Inner, blocking};
use crate::engine::sandbox::files::unmount_shm;
use crate::engine::state::SandboxEntry;
use crate::error::{Error, Result, chain};
use crate::failpoint;
use crate::store::SandboxPhase;
use crate::types::EventKind;

/// How long a shim may take to end by itself after it was asked.
const SHIM_END: Duration = Duration::from_secs(10);

impl Inner {
    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let Some(entry) = self.sandboxes.find_for_removal(id)? else { return Ok(()) };
        let _operation = entry.operation.write().await;
        self.stop_locked(&entry).await
    }

    /// With the sandbox's lock held for writing.
    pub(crate) async fn stop_locked(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        let was_ready = entry.record.get().phase == SandboxPhase::Ready;
        match entry.record.get().phase {
            SandboxPhase::Stopped => return Ok(()),
            SandboxPhase::Removing => {}
            _ => entry.record.change(&self.store, |record| record.phase = SandboxPhase::Stopping).await?,
        }
        if was_ready {
            self.publish(EventKind::SandboxStopped, &entry.id, "");
        }
        failpoint::pass("stop_sandbox.after_intent");
        self.kill_containers(entry).await;
        failpoint::pass("stop_sandbox.after_containers");
        self.take_down(entry).await?;
        if entry.record.get().phase == SandboxPhase::Stopping {
            entry.record.change(&self.store, |record| record.phase = SandboxPhase::Stopped).await?;
        }
        failpoint::pass("stop_sandbox.after_outcome");
        Ok(())
    }

    /// Takes down what runs and what the kernel holds for a sandbox; goes on past failures and tells them all.
    pub(crate) async fn take_down(&self, entry: &Arc<SandboxEntry>) -> Result<()> {
        let mut failures = Vec::new();
        let mut note = |what: &str, result: Result<()>| {
            if let Err(error) = result {
                failures.push(format!("{what}: {}", chain(&error)));
            }
        };
        note("shim", self.end_shim(entry).await);
        failpoint::pass("stop_sandbox.after_shim");
        self.settle_containers(entry).await.map_or_else(|error| note("containers", Err(error)), |()| ());
        note("network", self.network.detach(&entry.id).await.map_err(Error::from));
        failpoint::pass("stop_sandbox.after_network");
        let dir = self.config.sandbox_dir(&entry.id);
        note("shm", blocking(move || unmount_shm(&dir)).await);
        failpoint::pass("stop_sandbox.after_shm");
        let (hierarchies, top) = (self.hierarchies.clone(), self.config.cgroup_parent.clone());
        let cgroup = entry.record.get().cgroup.clone();
        note("cgroup", blocking(move || hierarchies.remove_sandbox(&cgroup, &top)).await);
        failpoint::pass("stop_sandbox.after_cgroup");
        if failures.is_empty() { Ok(()) } else { Err(Error::Cleanup { id: entry.id.clone(), failures }) }
    }

    /// Kills all containers at once and waits for their ends. What fails here, [`Inner::end_shim`] makes good.
    async fn kill_containers(&self, entry: &SandboxEntry) {
        let kills = self.containers_of(&entry.id).into_iter().map(|container| async move {
            if let Err(error) = self.kill_container(&container).await {
                tracing::warn!(container = container.id, "cannot kill: {}", chain(&error));
            }
        });
        join_all(kills).await;
    }

    /// Ends the shim, and with it all that it is the parent of.
    async fn end_shim(&self, entry: &SandboxEntry) -> Result<()> {
        let record = entry.record.get();
        let pidfd = match record.shim {
            Some(process) => process.open().map_err(|source| shim_error(entry, source))?,
            None => None,
        };
        if let Some(pidfd) = pidfd {
            if let Err(error) = entry.shim.shutdown().await {
                tracing::debug!(sandbox = entry.id, "shim does not shut down: {}", chain(&error));
                pidfd.kill().map_err(|source| shim_error(entry, source))?;
            }
            if tokio::time::timeout(SHIM_END, pidfd.ended()).await.is_err() {
                pidfd.kill().map_err(|source| shim_error(entry, source))?;
                pidfd.ended().await.map_err(|source| shim_error(entry, source))?;
            }
        }
        // A shim that was killed took its containers with it only where they live below its PID namespace.
        let (hierarchies, cgroup) = (self.hierarchies.clone(), record.cgroup.clone());
        let ids: Vec<_> =
            self.containers_of(&entry.id).iter().map(|container| container.id.clone()).collect();
        blocking(move || ids.iter().try_for_each(|id| hierarchies.kill(&cgroup.container_dir(id)))).await
    }
}

fn shim_error(entry: &SandboxEntry, source: std::io::Error) -> Error {
    Error::Io { action: "end the shim at", path: entry.shim.dir().to_owned(), source }
}
