//! Gauges of what is so now, from the store and the sources.

use k8s_openapi::api::core::v1::{ContainerState, Pod};

use crate::Handles;
use crate::metrics::{SourceLabels, StateLabels};

/// Sets the gauges of pods, containers and sources.
pub(super) fn set(handles: &Handles) {
    let metrics = &handles.metrics;
    metrics.pods.clear();
    metrics.containers.clear();
    metrics.source_errors.clear();
    for pod in handles.pods.list() {
        metrics.pods.get_or_create(&label(phase(&pod))).inc();
        for state in states(&pod) {
            metrics.containers.get_or_create(&label(state)).inc();
        }
    }
    for source in handles.sources.list() {
        let errors = source.diagnostics.len() + usize::from(source.error.is_some());
        let gauge = metrics.source_errors.get_or_create(&SourceLabels { source: source.name });
        gauge.set(i64::try_from(errors).unwrap_or(i64::MAX));
    }
}

fn label(state: &str) -> StateLabels {
    StateLabels { state: state.to_owned() }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown")
}

fn states(pod: &Pod) -> impl Iterator<Item = &'static str> {
    let status = pod.status.as_ref();
    let init = status.and_then(|s| s.init_container_statuses.as_deref()).unwrap_or_default();
    let containers = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    init.iter().chain(containers).map(|container| state(container.state.as_ref()))
}

fn state(state: Option<&ContainerState>) -> &'static str {
    match state {
        Some(ContainerState { running: Some(_), .. }) => "running",
        Some(ContainerState { terminated: Some(_), .. }) => "terminated",
        _ => "waiting",
    }
}
