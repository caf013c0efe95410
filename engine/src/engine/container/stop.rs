//! Ending a container.

use std::sync::Arc;
use std::time::Duration;

use reeve_proto::shim::error::Code;

use crate::engine::inner::Inner;
use crate::engine::state::ContainerEntry;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::shim::ShimError;
use crate::store::ContainerPhase;

/// How long killed processes may take: writing out memory to a slow disk takes its time.
const KILL: Duration = Duration::from_secs(60);

impl Inner {
    /// Takes no lock while it waits: others may stop or remove the container meanwhile.
    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let Some(entry) = self.containers.find_for_removal(id)? else { return Ok(()) };
        // A start under way is let through first.
        drop(entry.operation.lock().await);
        let record = entry.record.get();
        if record.phase != ContainerPhase::Running {
            return Ok(());
        }
        if !grace.is_zero() {
            gone_is_well(entry.sandbox.shim.signal(&entry.id, "", record.stop_signal, false).await)?;
            failpoint::pass("stop_container.after_signal");
            if ended(&entry, grace).await {
                return Ok(());
            }
        }
        self.kill_container(&entry).await
    }

    /// Kills all of a container's processes and waits for its end.
    pub(crate) async fn kill_container(&self, entry: &Arc<ContainerEntry>) -> Result<()> {
        if !matches!(entry.record.get().phase, ContainerPhase::Running | ContainerPhase::Starting) {
            return Ok(());
        }
        gone_is_well(entry.sandbox.shim.signal(&entry.id, "", libc::SIGKILL, true).await)?;
        failpoint::pass("stop_container.after_kill");
        match ended(entry, KILL).await {
            true => Ok(()),
            false => Err(ShimError::Timeout {
                path: entry.sandbox.shim.dir().to_owned(),
                call: "the end of a killed container",
                after: KILL,
            }
            .into()),
        }
    }
}

async fn ended(entry: &ContainerEntry, within: Duration) -> bool {
    let mut ended = entry.ended.subscribe();
    tokio::time::timeout(within, ended.wait_for(|ended| *ended)).await.is_ok()
}

/// A process that has just ended cannot be signalled; its end is on its way to us.
fn gone_is_well(result: Result<(), ShimError>) -> Result<()> {
    match result {
        Err(error) if error.is(Code::NotFound) || error.is(Code::FailedPrecondition) => Ok(()),
        result => result.map_err(Error::from),
    }
}
