//! Metrics under the names and labels that cAdvisor gave them, which dashboards of the field know.
//!
//! CRI's values are whole numbers, so CPU time is in full seconds, rounded down.

use reeve_engine::{Container, ContainerStats, InterfaceStats, Sandbox};
use reeve_proto::cri::{self, MetricType};

const CONTAINER_LABELS: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];
const INTERFACE_LABELS: [&str; 5] = ["id", "interface", "name", "namespace", "pod"];

struct ContainerMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&Container, &ContainerStats) -> u64,
}

struct InterfaceMetric {
    name: &'static str,
    help: &'static str,
    value: fn(&InterfaceStats) -> u64,
}

const CONTAINER_METRICS: [ContainerMetric; 9] = [
    ContainerMetric {
        name: "container_cpu_usage_seconds_total",
        help: "CPU time used since the container began, in seconds",
        kind: MetricType::Counter,
        value: |_, stats| stats.cpu_usage_ns / 1_000_000_000,
    },
    ContainerMetric {
        name: "container_memory_usage_bytes",
        help: "Memory in use, with page cache, in bytes",
        kind: MetricType::Gauge,
        value: |_, stats| stats.memory_usage_bytes,
    },
    ContainerMetric {
        name: "container_memory_working_set_bytes",
        help: "Memory in use less inactive page cache, in bytes",
        kind: MetricType::Gauge,
        value: |_, stats| stats.memory_working_set_bytes,
    },
    ContainerMetric {
        name: "container_memory_rss",
        help: "Anonymous memory, in bytes",
        kind: MetricType::Gauge,
        value: |_, stats| stats.memory_rss_bytes,
    },
    ContainerMetric {
        name: "container_memory_swap",
        help: "Swap in use, in bytes",
        kind: MetricType::Gauge,
        value: |_, stats| stats.swap_usage_bytes,
    },
    ContainerMetric {
        name: "container_spec_memory_limit_bytes",
        help: "Memory limit, in bytes; 0 is none",
        kind: MetricType::Gauge,
        value: |_, stats| stats.memory_limit_bytes,
    },
    ContainerMetric {
        name: "container_threads",
        help: "Processes and threads",
        kind: MetricType::Gauge,
        value: |_, stats| stats.pids,
    },
    ContainerMetric {
        name: "container_fs_usage_bytes",
        help: "What the writable layer takes on disk, in bytes",
        kind: MetricType::Gauge,
        value: |_, stats| stats.writable_layer.bytes,
    },
    ContainerMetric {
        name: "container_start_time_seconds",
        help: "When the container began, in seconds since 1970",
        kind: MetricType::Gauge,
        value: |container, _| u64::try_from(container.started_at / 1_000_000_000).unwrap_or_default(),
    },
];

const INTERFACE_METRICS: [InterfaceMetric; 4] = [
    InterfaceMetric {
        name: "container_network_receive_bytes_total",
        help: "Bytes received",
        value: |interface| interface.rx_bytes,
    },
    InterfaceMetric {
        name: "container_network_receive_errors_total",
        help: "Errors on receipt",
        value: |interface| interface.rx_errors,
    },
    InterfaceMetric {
        name: "container_network_transmit_bytes_total",
        help: "Bytes sent",
        value: |interface| interface.tx_bytes,
    },
    InterfaceMetric {
        name: "container_network_transmit_errors_total",
        help: "Errors on sending",
        value: |interface| interface.tx_errors,
    },
];

/// All metrics that [`of_sandbox`] may contain.
pub(crate) fn descriptors() -> Vec<cri::MetricDescriptor> {
    let descriptor = |name: &str, help: &str, labels: &[&str]| cri::MetricDescriptor {
        name: name.to_owned(),
        help: help.to_owned(),
        label_keys: labels.iter().map(|label| (*label).to_owned()).collect(),
    };
    let containers = CONTAINER_METRICS.iter().map(|one| descriptor(one.name, one.help, &CONTAINER_LABELS));
    let interfaces = INTERFACE_METRICS.iter().map(|one| descriptor(one.name, one.help, &INTERFACE_LABELS));
    containers.chain(interfaces).collect()
}

/// The metrics of a sandbox and its running containers.
pub(crate) fn of_sandbox(
    sandbox: &Sandbox,
    containers: &[(Container, ContainerStats)],
    interfaces: Option<&[InterfaceStats]>,
) -> cri::PodSandboxMetrics {
    cri::PodSandboxMetrics {
        pod_sandbox_id: sandbox.id.clone(),
        metrics: interfaces.unwrap_or_default().iter().flat_map(|one| of_interface(sandbox, one)).collect(),
        container_metrics: containers
            .iter()
            .map(|(container, stats)| cri::ContainerMetrics {
                container_id: container.id.clone(),
                metrics: of_container(sandbox, container, stats),
            })
            .collect(),
    }
}

fn of_container(sandbox: &Sandbox, container: &Container, stats: &ContainerStats) -> Vec<cri::Metric> {
    let pod = &sandbox.spec.metadata;
    let labels = [
        &container.spec.metadata.name,
        &container.id,
        &container.spec.image,
        &container.id,
        &pod.namespace,
        &pod.name,
    ];
    CONTAINER_METRICS
        .iter()
        .map(|one| metric(one.name, one.kind, &labels, (one.value)(container, stats)))
        .collect()
}

fn of_interface(sandbox: &Sandbox, interface: &InterfaceStats) -> Vec<cri::Metric> {
    let pod = &sandbox.spec.metadata;
    let labels = [&sandbox.id, &interface.name, &sandbox.id, &pod.namespace, &pod.name];
    INTERFACE_METRICS
        .iter()
        .map(|one| metric(one.name, MetricType::Counter, &labels, (one.value)(interface)))
        .collect()
}

fn metric(name: &str, kind: MetricType, labels: &[&String], value: u64) -> cri::Metric {
    cri::Metric {
        name: name.to_owned(),
        // Read for this very answer.
        timestamp: 0,
        metric_type: kind as i32,
        label_values: labels.iter().map(|label| (*label).clone()).collect(),
        value: Some(cri::UInt64Value { value }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use reeve_engine::{ContainerState, SandboxState};

    use super::super::container_status::tests::container;
    use super::super::sandbox_status::tests::sandbox;
    use super::*;

    #[test]
    fn every_metric_is_described_with_as_many_labels() {
        let labels: HashMap<String, usize> =
            descriptors().into_iter().map(|one| (one.name, one.label_keys.len())).collect();
        let interface = InterfaceStats { name: "eth0".to_owned(), ..InterfaceStats::default() };
        let running = (container("c", "s", ContainerState::Running, &[]), ContainerStats::default());
        let metrics = of_sandbox(&sandbox("s", SandboxState::Ready, &[]), &[running], Some(&[interface]));

        let all = metrics.metrics.iter().chain(&metrics.container_metrics[0].metrics);
        let mut count = 0;
        for metric in all {
            assert_eq!(labels.get(&metric.name), Some(&metric.label_values.len()), "{}", metric.name);
            count += 1;
        }
        assert_eq!(count, labels.len());
    }
}
