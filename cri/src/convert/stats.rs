//! Counters.

use reeve_engine::{Container, ContainerStats, FsUsage, InterfaceStats, Sandbox};
use reeve_proto::cri;

use super::{container_status, sandbox_status};

fn value(value: u64) -> Option<cri::UInt64Value> {
    Some(cri::UInt64Value { value })
}

/// What a limit leaves; nothing can be said without one.
fn available(limit: u64, used: u64) -> Option<cri::UInt64Value> {
    if limit == 0 { None } else { value(limit.saturating_sub(used)) }
}

/// A directory's share of its filesystem.
pub(crate) fn filesystem(timestamp: i64, mountpoint: &str, usage: FsUsage) -> cri::FilesystemUsage {
    cri::FilesystemUsage {
        timestamp,
        fs_id: Some(cri::FilesystemIdentifier { mountpoint: mountpoint.to_owned() }),
        used_bytes: value(usage.bytes),
        inodes_used: value(usage.inodes),
    }
}

/// Counters of a container. `mountpoint` is the directory that writable layers are in.
pub(crate) fn container(
    container: &Container,
    stats: &ContainerStats,
    mountpoint: &str,
) -> cri::ContainerStats {
    cri::ContainerStats {
        attributes: Some(attributes(container)),
        cpu: Some(cpu(stats.timestamp, stats.cpu_usage_ns)),
        memory: Some(memory(stats)),
        writable_layer: Some(filesystem(stats.timestamp, mountpoint, stats.writable_layer)),
        swap: Some(cri::SwapUsage {
            timestamp: stats.timestamp,
            swap_available_bytes: available(stats.swap_limit_bytes, stats.swap_usage_bytes),
            swap_usage_bytes: value(stats.swap_usage_bytes),
        }),
        io: None,
    }
}

/// Counters of a container that does not run: it uses nothing but its writable layer, which nobody measured.
pub(crate) fn idle_container(container: &Container) -> cri::ContainerStats {
    cri::ContainerStats { attributes: Some(attributes(container)), ..cri::ContainerStats::default() }
}

fn attributes(container: &Container) -> cri::ContainerAttributes {
    cri::ContainerAttributes {
        id: container.id.clone(),
        metadata: Some(container_status::metadata(&container.spec.metadata)),
        labels: container.spec.labels.clone().into_iter().collect(),
        annotations: container.spec.annotations.clone().into_iter().collect(),
    }
}

fn cpu(timestamp: i64, usage_ns: u64) -> cri::CpuUsage {
    cri::CpuUsage {
        timestamp,
        usage_core_nano_seconds: value(usage_ns),
        // A rate takes two samples: clients keep the earlier one themselves.
        usage_nano_cores: None,
        psi: None,
    }
}

fn memory(stats: &ContainerStats) -> cri::MemoryUsage {
    cri::MemoryUsage {
        timestamp: stats.timestamp,
        working_set_bytes: value(stats.memory_working_set_bytes),
        available_bytes: available(stats.memory_limit_bytes, stats.memory_working_set_bytes),
        usage_bytes: value(stats.memory_usage_bytes),
        rss_bytes: value(stats.memory_rss_bytes),
        page_faults: value(stats.memory_page_faults),
        major_page_faults: value(stats.memory_major_page_faults),
        psi: None,
    }
}

/// Counters of a sandbox: its containers' together, for nothing else runs in it.
pub(crate) fn sandbox(
    sandbox: &Sandbox,
    containers: &[(Container, ContainerStats)],
    interfaces: Option<&[InterfaceStats]>,
    timestamp: i64,
    mountpoint: &str,
) -> cri::PodSandboxStats {
    let total = total(containers.iter().map(|(_, stats)| stats), timestamp);
    cri::PodSandboxStats {
        attributes: Some(cri::PodSandboxAttributes {
            id: sandbox.id.clone(),
            metadata: Some(sandbox_status::metadata(&sandbox.spec.metadata)),
            labels: sandbox.spec.labels.clone().into_iter().collect(),
            annotations: sandbox.spec.annotations.clone().into_iter().collect(),
        }),
        linux: Some(cri::LinuxPodSandboxStats {
            cpu: Some(cpu(timestamp, total.cpu_usage_ns)),
            memory: Some(memory(&total)),
            network: interfaces.map(|interfaces| network(timestamp, interfaces)),
            process: Some(cri::ProcessUsage { timestamp, process_count: value(total.pids) }),
            containers: containers.iter().map(|(one, stats)| container(one, stats, mountpoint)).collect(),
            io: None,
        }),
        windows: None,
    }
}

fn total<'a>(all: impl Iterator<Item = &'a ContainerStats>, timestamp: i64) -> ContainerStats {
    all.fold(ContainerStats { timestamp, ..ContainerStats::default() }, |sum, one| ContainerStats {
        cpu_usage_ns: sum.cpu_usage_ns + one.cpu_usage_ns,
        memory_usage_bytes: sum.memory_usage_bytes + one.memory_usage_bytes,
        memory_working_set_bytes: sum.memory_working_set_bytes + one.memory_working_set_bytes,
        memory_rss_bytes: sum.memory_rss_bytes + one.memory_rss_bytes,
        memory_page_faults: sum.memory_page_faults + one.memory_page_faults,
        memory_major_page_faults: sum.memory_major_page_faults + one.memory_major_page_faults,
        pids: sum.pids + one.pids,
        ..sum
    })
}

fn network(timestamp: i64, interfaces: &[InterfaceStats]) -> cri::NetworkUsage {
    let mut usages = interfaces.iter().filter(|one| one.name != "lo").map(|one| cri::NetworkInterfaceUsage {
        name: one.name.clone(),
        rx_bytes: value(one.rx_bytes),
        rx_errors: value(one.rx_errors),
        tx_bytes: value(one.tx_bytes),
        tx_errors: value(one.tx_errors),
    });
    cri::NetworkUsage { timestamp, default_interface: usages.next(), interfaces: usages.collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reeve_engine::{ContainerState, SandboxState};

    use super::super::container_status::tests::container as a_container;
    use super::super::sandbox_status::tests::sandbox as a_sandbox;
    use super::*;

    fn stats(id: &str) -> ContainerStats {
        ContainerStats {
            id: id.to_owned(),
            timestamp: 5,
            cpu_usage_ns: 100,
            memory_working_set_bytes: 30,
            memory_limit_bytes: 40,
            pids: 2,
            ..ContainerStats::default()
        }
    }

    #[test]
    fn a_limit_says_what_is_available() {
        let one = a_container("a", "s", ContainerState::Running, &[]);
        let memory = container(&one, &stats("a"), "/x").memory.unwrap();
        assert_eq!(memory.available_bytes.unwrap().value, 10);

        let unlimited = ContainerStats { memory_limit_bytes: 0, ..stats("a") };
        assert!(container(&one, &unlimited, "/x").memory.unwrap().available_bytes.is_none());
    }

    #[test]
    fn a_sandbox_is_the_sum_of_its_containers() {
        let pair = |id| (a_container(id, "s", ContainerState::Running, &[]), stats(id));
        let interfaces = ["lo", "eth0"].map(|name| InterfaceStats {
            name: name.to_owned(),
            rx_bytes: 9,
            ..Default::default()
        });
        let both = [pair("a"), pair("b")];
        let linux = sandbox(&a_sandbox("s", SandboxState::Ready, &[]), &both, Some(&interfaces), 6, "/x")
            .linux
            .unwrap();

        assert_eq!(linux.cpu.unwrap().usage_core_nano_seconds.unwrap().value, 200);
        assert_eq!(linux.process.unwrap().process_count.unwrap().value, 4);
        assert_eq!(linux.containers.len(), 2);
        let network = linux.network.unwrap();
        assert_eq!(network.default_interface.unwrap().name, "eth0");
        assert!(network.interfaces.is_empty());
    }
}
