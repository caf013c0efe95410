//! Starting a container.

use std::sync::Arc;

use reeve_proto::shim::{Create, Mount as WireMount, error::Code};

use crate::engine::inner::{Inner, now};
use crate::engine::state::ContainerEntry;
use crate::error::{Error, Result, chain};
use crate::failpoint;
use crate::shim::ShimError;
use crate::store::{ContainerPhase, ContainerRecord};
use crate::types::EventKind;

/// What shells say for a program that cannot be run, and what containerd reports.
const START_ERROR: i32 = 128;

impl Inner {
    pub(crate) async fn start_container(&self, id: &str) -> Result<()> {
        let entry = self.containers.find(id)?;
        let _sandbox = entry.sandbox.operation.read().await;
        let _operation = entry.operation.lock().await;
        let phase = entry.record.get().phase;
        if phase != ContainerPhase::Created {
            return Err(entry.wrong_state(phase, "start it"));
        }
        entry.sandbox.ready("start a container in it")?;
        entry.record.change(&self.store, |record| record.phase = ContainerPhase::Starting).await?;
        failpoint::pass("start_container.after_intent");
        match self.launch(&entry).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.start_failed(&entry, &error).await?;
                Err(match error {
                    Error::Shim(ShimError::Refused { code: Code::CommandNotFound, message }) => {
                        Error::CommandNotFound(message)
                    }
                    other => other,
                })
            }
        }
    }

    async fn launch(&self, entry: &ContainerEntry) -> Result<()> {
        let shim = &entry.sandbox.shim;
        let pid = shim.create(self.create_request(&entry.record.get())).await?;
        failpoint::pass("start_container.after_create");
        // Taken before: a short program has ended when the answer is here.
        let started_at = now();
        shim.start(&entry.id).await?;
        failpoint::pass("start_container.after_start");
        self.note_running(entry, pid, started_at).await?;
        failpoint::pass("start_container.after_outcome");
        Ok(())
    }

    /// Takes note that a container runs; one that has ended already stays so.
    pub(crate) async fn note_running(&self, entry: &ContainerEntry, pid: u32, started_at: i64) -> Result<()> {
        let outcome = |record: &mut ContainerRecord| {
            let starting = record.phase == ContainerPhase::Starting;
            if starting {
                record.phase = ContainerPhase::Running;
                record.pid = pid;
                record.started_at = started_at;
            }
            starting
        };
        if entry.record.change(&self.store, outcome).await? {
            self.publish(EventKind::ContainerStarted, &entry.sandbox.id, &entry.id);
        }
        Ok(())
    }

    fn create_request(&self, record: &ContainerRecord) -> Create {
        let layer = self.config.layer_dir(&record.id);
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        let lowers = record.lowers.iter().map(|dir| format!("lowerdir={}", text(dir)));
        let own = [("upperdir", "upper"), ("workdir", "work")]
            .map(|(key, name)| format!("{key}={}", text(&layer.join(name))));
        Create {
            container_id: record.id.clone(),
            bundle: text(&self.config.bundle_dir(&record.id)),
            log_path: text(&record.log_path),
            stdin: record.spec.stdin,
            stdin_once: record.spec.stdin_once,
            rootfs: vec![WireMount {
                r#type: "overlay".to_owned(),
                source: String::new(),
                target: "/".to_owned(),
                options: lowers.chain(own).collect(),
            }],
        }
    }

    async fn start_failed(&self, entry: &Arc<ContainerEntry>, error: &Error) -> Result<()> {
        let message = chain(error);
        tracing::warn!(container = entry.id, "cannot start: {message}");
        // A shim that cannot do this either is lost, which another task finds out.
        if let Err(error) = entry.sandbox.shim.delete(&entry.id).await {
            tracing::warn!(container = entry.id, "cannot take back the start: {}", chain(&error));
        }
        let outcome = |record: &mut ContainerRecord| {
            record.phase = ContainerPhase::Exited;
            record.pid = 0;
            record.exit_code = START_ERROR;
            record.reason = "StartError".to_owned();
            record.message = message;
            record.finished_at = now();
        };
        entry.record.change(&self.store, outcome).await?;
        entry.ended.send_replace(true);
        self.publish(EventKind::ContainerStopped, &entry.sandbox.id, &entry.id);
        Ok(())
    }
}
