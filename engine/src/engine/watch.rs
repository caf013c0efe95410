//! One task per sandbox: it hears what the shim tells, and notices its end.

use std::sync::{Arc, Weak};
use std::time::Duration;

use reeve_proto::shim::event::Kind;

use super::inner::Inner;
use super::state::SandboxEntry;
use crate::error::chain;
use crate::process::ProcessId;
use crate::types::EventKind;

/// Pauses between tries to hear a shim that lives and does not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

impl Inner {
    /// Starts the task. It ends with the shim, or with the engine, which it does not keep alive.
    pub(crate) fn watch(self: &Arc<Self>, entry: &Arc<SandboxEntry>, process: ProcessId) {
        let (inner, entry, closing) = (Arc::downgrade(self), entry.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = attend(&inner, &entry, process) => {}
            }
        });
    }

    fn heard(self: &Arc<Self>, entry: &Arc<SandboxEntry>, event: Kind) {
        match event {
            // Of execs only those who wait for them want to know.
            Kind::Exit(exit) if exit.exec_id.is_empty() => {
                let Some(container) = self.containers.get(&exit.container_id) else { return };
                let inner = self.clone();
                self.tasks.spawn(async move { inner.container_ended(&container, &exit).await });
            }
            Kind::Exit(_) => {}
            Kind::OomKill(kill) => self.publish(EventKind::ContainerOom, &entry.id, &kill.container_id),
        }
    }
}

async fn attend(inner: &Weak<Inner>, entry: &Arc<SandboxEntry>, process: ProcessId) {
    tokio::select! {
        () = end(process) => {}
        () = listen(inner, entry) => return,
    }
    if let Some(inner) = inner.upgrade() {
        inner.shim_lost(entry).await;
    }
}

async fn end(process: ProcessId) {
    let ended = match process.open() {
        Ok(Some(pidfd)) => pidfd.ended().await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::error!(pid = process.pid, "cannot watch the shim: {error}");
        std::future::pending::<()>().await;
    }
}

/// Ends with the engine.
async fn listen(inner: &Weak<Inner>, entry: &Arc<SandboxEntry>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match entry.shim.subscribe().await {
            Ok(mut events) => {
                pause = FIRST_PAUSE;
                // What happened before the subscription.
                let Some(engine) = inner.upgrade() else { return };
                if let Err(error) = engine.reconcile(entry).await {
                    tracing::warn!(sandbox = entry.id, "cannot catch up with the shim: {}", chain(&error));
                }
                drop(engine);
                while let Ok(Some(event)) = events.next().await {
                    let Some(engine) = inner.upgrade() else { return };
                    engine.heard(entry, event);
                }
            }
            Err(error) => tracing::debug!(sandbox = entry.id, "cannot hear the shim: {}", chain(&error)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
