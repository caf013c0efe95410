//! How far a pull is, layer by layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::Digest;

/// A snapshot of a running pull.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// One entry a layer, base first; empty until the manifest is known.
    pub layers: Vec<LayerProgress>,
}

impl Progress {
    /// Bytes downloaded so far, over all layers.
    pub fn downloaded(&self) -> u64 {
        self.layers.iter().map(|layer| layer.downloaded).sum()
    }

    /// Bytes of all layers, as the registry holds them.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

/// How far one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerProgress {
    /// Digest of the layer as the registry holds it.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes of it that are here.
    pub downloaded: u64,
    /// What is being done.
    pub state: LayerState,
}

/// What is being done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// It has its turn later.
    Waiting,
    /// It is fetched and unpacked at once.
    Downloading,
    /// All bytes are here; the rest is being unpacked.
    Unpacking,
    /// Unpacked, or here already.
    Done,
}

/// Counters that a layer's tasks write and the pull's ticker reads.
#[derive(Default)]
pub(crate) struct Counter {
    downloaded: AtomicU64,
    state: AtomicU8,
}

impl Counter {
    pub(crate) fn set_downloaded(&self, bytes: u64) {
        self.downloaded.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: LayerState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    fn state(&self) -> LayerState {
        match self.state.load(Ordering::Relaxed) {
            0 => LayerState::Waiting,
            1 => LayerState::Downloading,
            2 => LayerState::Unpacking,
            _ => LayerState::Done,
        }
    }
}

/// The counters of one pull.
pub(crate) struct Counters(pub(crate) Vec<(Digest, u64, Arc<Counter>)>);

impl Counters {
    pub(crate) fn snapshot(&self) -> Progress {
        let layer = |(digest, size, counter): &(Digest, u64, Arc<Counter>)| {
            let state = counter.state();
            let downloaded =
                if state == LayerState::Done { *size } else { counter.downloaded.load(Ordering::Relaxed) };
            LayerProgress { digest: digest.clone(), size: *size, downloaded, state }
        };
        Progress { layers: self.0.iter().map(layer).collect() }
    }
}
