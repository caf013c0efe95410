//! Signals: the first asks for an orderly end, the second ends at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Stop;
use crate::terminal::screen;

/// As a shell reports a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGINT or SIGTERM triggers.
pub(super) fn on_signals() -> anyhow::Result<Stop> {
    let catch = |kind| signal(kind).context("cannot catch signals");
    let signals = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    let stop = Stop::new();
    tokio::spawn(obey(signals, stop.clone()));
    Ok(stop)
}

async fn obey(mut signals: (Signal, Signal), stop: Stop) {
    next(&mut signals).await;
    tracing::info!("stopping; once more ends at once");
    stop.cancel();
    next(&mut signals).await;
    screen::leave();
    tracing::warn!("ended at once: what was not removed yet is taken up by the next start");
    std::process::exit(INTERRUPTED);
}

async fn next((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
