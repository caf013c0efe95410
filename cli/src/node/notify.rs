//! Tells systemd how the daemon is (`sd_notify(3)`, `Type=notify`). Without systemd nothing happens.

use std::path::PathBuf;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixStream;

use super::Stop;

/// How often a socket is tried until it answers.
const TRY: Duration = Duration::from_millis(20);

/// Says that the daemon is ready.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// Says that the daemon is ending.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

/// Says READY when `socket` answers, and STOPPING when `stop` is triggered.
pub(super) async fn when_answering(socket: PathBuf, stop: Stop) {
    if answers(&socket, &stop).await {
        ready();
        stop.cancelled().await;
        stopping();
    }
}

/// Waits until `socket` answers; false when `stop` came first.
pub(super) async fn answers(socket: &PathBuf, stop: &Stop) -> bool {
    while UnixStream::connect(socket).await.is_err() {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(TRY) => {}
        }
    }
    true
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}
