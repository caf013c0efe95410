//! Pods of a directory of manifests, or of one file.
//!
//! [`watch`] says that something changed (inotify), [`scan`] reads everything that is there now, [`ledger`] keeps
//! what was last good on disk. Each scan is complete, or is not reported: what cannot be read is not gone.

mod ledger;
mod names;
mod scan;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use scan::Scanner;
use tokio_util::sync::CancellationToken;
use watch::Watcher;

use super::Mailbox;
use crate::Handles;
use crate::events::EventType;
use crate::pod::DesiredPod;

/// Changes that come together are read together.
const SETTLE: Duration = Duration::from_millis(10);
/// How soon a directory that cannot be read is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Reads and follows `path` until `shutdown`.
pub async fn run(handles: Handles, mailbox: Mailbox, path: PathBuf, shutdown: CancellationToken) {
    let mut source = Files {
        scanner: Scanner::new(&path, ledger::file(&handles.config.root, &path)),
        watcher: None,
        handles,
        mailbox,
        path,
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = source.follow() => {}
    }
}

struct Files {
    handles: Handles,
    mailbox: Mailbox,
    path: PathBuf,
    scanner: Scanner,
    watcher: Option<Watcher>,
}

impl Files {
    async fn follow(&mut self) {
        loop {
            let again = self.round().await;
            match &mut self.watcher {
                Some(watcher) => tokio::select! {
                    () = watcher.changed() => {}
                    () = sleep(again) => {}
                },
                None => tokio::time::sleep(again.unwrap_or(RETRY)).await,
            }
            tokio::time::sleep(SETTLE).await;
            if let Some(watcher) = &mut self.watcher {
                watcher.drain();
            }
        }
    }

    /// Reads everything once and reports it; says when to look again although nothing happens.
    async fn round(&mut self) -> Option<Duration> {
        if self.watcher.is_none() {
            self.watcher = Watcher::new().inspect_err(|e| self.mailbox.error(Some(e.to_string()))).ok();
        }
        let half_written = self.watcher.as_mut().map(Watcher::half_written).unwrap_or_default();
        let path = self.path.clone();
        let mut scanner = std::mem::take(&mut self.scanner);
        let watcher = self.watcher.take();
        // Directories are watched before they are read, so that no change falls in between.
        let scanned = tokio::task::spawn_blocking(move || {
            let mut watcher = watcher;
            let result = scanner.scan(&path, &half_written, &mut |dir| match &mut watcher {
                Some(watcher) => watcher.add(dir),
                None => Ok(()),
            });
            (scanner, watcher, result, !half_written.is_empty())
        });
        let Ok((scanner, watcher, result, waits)) = scanned.await else {
            self.mailbox.error(Some("reading the manifests ended unexpectedly".into()));
            return Some(RETRY);
        };
        self.scanner = scanner;
        self.watcher = watcher;
        match result {
            Ok(()) => self.report(),
            Err(error) => {
                self.mailbox.error(Some(format!("{error}: {}", error.source)));
                return Some(RETRY);
            }
        }
        waits.then_some(watch::HALF_WRITTEN)
    }

    fn report(&mut self) {
        let found = self.scanner.found();
        let origin = |file: &std::path::Path, line: usize| format!("{}:{line}", file.display());
        let pods = found.pods.iter().map(|(file, pod)| {
            Arc::new(DesiredPod {
                source: self.mailbox.name(),
                pod: Arc::new(pod.pod.clone()),
                origin: origin(file, pod.line),
            })
        });
        for diagnostic in &found.new {
            tracing::warn!("{diagnostic}");
        }
        let source = k8s_openapi::api::core::v1::ObjectReference {
            kind: Some("Source".into()),
            name: Some(self.mailbox.name().to_string()),
            ..Default::default()
        };
        for diagnostic in &found.new {
            if diagnostic.severity == reeve_manifests::Severity::Error {
                let message = diagnostic.to_string();
                self.handles.events.record(source.clone(), EventType::Warning, "InvalidManifest", message);
            }
        }
        self.mailbox.diagnostics(found.diagnostics.clone());
        self.mailbox.complete(pods.collect());
    }
}

async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
