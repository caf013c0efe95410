//! A container runtime that exists only in memory and in virtual time, and fails when told to.
//!
//! What a container does is said by its image: `sim/run` runs for ever, `sim/stubborn` too but ends only when it
//! is killed, `sim/exit/SECONDS/CODE` ends by itself, `sim/missing` cannot be pulled, `sim/slow/SECONDS` takes long to pull.
//! Every state the runtime passes through is checked against [`State::check`].
#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub)]

mod images;
mod runtime;
mod state;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reeve_agent::clock::Clock;
use reeve_agent::cri::Cri;
use reeve_proto::cri::image_service_server::ImageServiceServer;
use reeve_proto::cri::runtime_service_server::RuntimeServiceServer;
use reeve_proto::cri::{ContainerEventResponse, PodSandboxStatus};
pub use state::State;
use tokio::sync::broadcast;
use tonic::Status;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// How badly the runtime behaves, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Calls that fail before they did anything.
    pub before: u32,
    /// Calls that did their work and fail then.
    pub after: u32,
    /// Events that are lost.
    pub lost_events: u32,
}

#[derive(Clone)]
pub struct Sim {
    pub state: Arc<Mutex<State>>,
    pub faults: Arc<Mutex<Faults>>,
    pub clock: Clock,
    rng: Arc<Mutex<SmallRng>>,
    events: broadcast::Sender<ContainerEventResponse>,
}

impl Sim {
    pub fn new(seed: u64, clock: Clock) -> Sim {
        Sim {
            state: Arc::default(),
            faults: Arc::default(),
            clock,
            rng: Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))),
            events: broadcast::channel(4096).0,
        }
    }

    /// A client that calls straight into this runtime.
    pub fn cri(&self) -> Cri {
        type Asked = http::Request<tonic::body::Body>;
        let never = |never: Infallible| match never {};
        let runtime = ServiceExt::<Asked>::map_err(RuntimeServiceServer::new(self.clone()), never);
        let images = ServiceExt::<Asked>::map_err(ImageServiceServer::new(self.clone()), never);
        Cri::over(BoxCloneSyncService::new(runtime), BoxCloneSyncService::new(images))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn nanos(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).unwrap()
    }

    fn chance(&self, percent: u32) -> bool {
        percent > 0 && self.rng.lock().unwrap().random_range(0..100) < percent
    }

    /// Takes some time, and maybe fails.
    async fn begin(&self) -> Result<(), Status> {
        let millis = self.rng.lock().unwrap().random_range(1..30);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let faults = *self.faults.lock().unwrap();
        if self.chance(faults.before) { Err(Status::unavailable("injected before")) } else { Ok(()) }
    }

    fn end(&self) -> Result<(), Status> {
        let faults = *self.faults.lock().unwrap();
        if self.chance(faults.after) { Err(Status::unavailable("injected after")) } else { Ok(()) }
    }

    /// Tells of a change of a sandbox, unless the event is lost.
    fn tell(&self, sandbox: &str) {
        let faults = *self.faults.lock().unwrap();
        if self.chance(faults.lost_events) {
            return;
        }
        let labels = self.lock().sandboxes.get(sandbox).map(|s| s.config.labels.clone()).unwrap_or_default();
        let status = PodSandboxStatus { id: sandbox.to_owned(), labels, ..Default::default() };
        let event = ContainerEventResponse { pod_sandbox_status: Some(status), ..Default::default() };
        let _ = self.events.send(event);
    }

    /// The machine starts anew: nothing runs, no sandbox is ready.
    pub fn reboot(&self) {
        let now = self.nanos();
        let mut state = self.lock();
        let ids: Vec<String> = state.sandboxes.keys().cloned().collect();
        for id in ids {
            state.stop_sandbox(&id, now, 255);
        }
    }
}
