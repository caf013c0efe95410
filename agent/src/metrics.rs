//! Counters in Prometheus' text format.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels of a call to the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// Name of the call, for instance `RunPodSandbox`.
    pub operation: String,
}

/// Labels of a gauge of pods or containers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// Phase of a pod, or state of a container.
    pub state: String,
}

/// Labels of a container's counters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ContainerLabels {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
}

/// Labels of a source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabels {
    /// Name of the source.
    pub source: String,
}

type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters of one agent. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// Pods by phase.
    pub pods: Family<StateLabels, Gauge>,
    /// Containers by state.
    pub containers: Family<StateLabels, Gauge>,
    /// Restarts of containers.
    pub restarts: Family<ContainerLabels, Counter>,
    /// Seconds from a change until it was carried out.
    pub reconcile: Histogram,
    /// Seconds of calls to the runtime.
    pub cri_calls: HistogramFamily<CallLabels>,
    /// Failed calls to the runtime.
    pub cri_errors: Family<CallLabels, Counter>,
    /// Errors in what a source declares, now.
    pub source_errors: Family<SourceLabels, Gauge>,
}

fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl Default for Metrics {
    fn default() -> Metrics {
        let metrics = Metrics {
            registry: Arc::default(),
            pods: Family::default(),
            containers: Family::default(),
            restarts: Family::default(),
            reconcile: latency(),
            cri_calls: Family::new_with_constructor(latency as fn() -> Histogram),
            cri_errors: Family::default(),
            source_errors: Family::default(),
        };
        metrics.with_registry(|r| {
            r.register("reeve_pods", "Pods by phase", metrics.pods.clone());
            r.register("reeve_containers", "Containers by state", metrics.containers.clone());
            r.register("reeve_container_restarts", "Restarts of containers", metrics.restarts.clone());
            r.register("reeve_reconcile_seconds", "Time of one round of a pod", metrics.reconcile.clone());
            r.register("reeve_cri_call_seconds", "Time of calls to the runtime", metrics.cri_calls.clone());
            r.register("reeve_cri_call_errors", "Failed calls to the runtime", metrics.cri_errors.clone());
            r.register(
                "reeve_source_errors",
                "Errors in a source's manifests",
                metrics.source_errors.clone(),
            );
        });
        metrics
    }
}

impl Metrics {
    /// Registers further metrics.
    pub fn with_registry<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics as text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        self.with_registry(|registry| prometheus_client::encoding::text::encode(&mut text, registry))?;
        Ok(text)
    }
}
