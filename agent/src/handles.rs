//! What the parts of one agent share.

use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::config::Config;
use crate::cri::Cri;
use crate::events::EventRecorder;
use crate::metrics::Metrics;
use crate::sources::Sources;
use crate::status::PodStore;

/// Handles of a running agent: what its API, its CLI and its sources read and write. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    /// Settings.
    pub config: Arc<Config>,
    /// The clock.
    pub clock: Clock,
    /// The runtime.
    pub cri: Cri,
    /// Pods with their status.
    pub pods: PodStore,
    /// What happened.
    pub events: EventRecorder,
    /// States of the sources.
    pub sources: Sources,
    /// Counters.
    pub metrics: Metrics,
    /// When this agent started.
    pub started: Timestamp,
}

impl Handles {
    /// Handles for a configuration, with the runtime at its socket.
    pub fn new(config: Config) -> Handles {
        let cri = Cri::connect(&config.cri_socket);
        Handles::over(config, cri, Clock::system())
    }

    /// Handles with a given runtime and clock.
    pub fn over(config: Config, cri: Cri, clock: Clock) -> Handles {
        Handles {
            events: EventRecorder::new(clock, &config.node_name),
            config: Arc::new(config),
            clock,
            cri,
            pods: PodStore::default(),
            sources: Sources::default(),
            metrics: Metrics::default(),
            started: clock.now(),
        }
    }
}
