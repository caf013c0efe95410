//! Counters of containers and sandboxes.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;

use super::inner::{Inner, blocking};
use super::state::{ContainerEntry, SandboxEntry};
use crate::error::{IoContext, Result, chain};
use crate::store::{ContainerPhase, SandboxPhase};
use crate::types::{ContainerStats, FsUsage, InterfaceStats};

impl Inner {
    /// A shim that does not answer costs the counters of its own containers, not those of others.
    pub(crate) async fn container_stats(&self, ids: Option<&[String]>) -> Result<Vec<ContainerStats>> {
        let containers = match ids {
            None => self.containers.all(),
            Some(ids) => ids.iter().map(|id| self.containers.find(id)).collect::<Result<_>>()?,
        };
        let mut by_sandbox: HashMap<&str, Vec<&Arc<ContainerEntry>>> = HashMap::new();
        for container in &containers {
            if container.record.get().phase == ContainerPhase::Running {
                by_sandbox.entry(&container.sandbox.id).or_default().push(container);
            }
        }
        let all = join_all(by_sandbox.into_values().map(|list| self.stats_of(list))).await;
        Ok(all.into_iter().flatten().collect())
    }

    /// Of containers of one sandbox.
    async fn stats_of(&self, containers: Vec<&Arc<ContainerEntry>>) -> Vec<ContainerStats> {
        let Some(sandbox) = containers.first().map(|container| container.sandbox.clone()) else {
            return Vec::new();
        };
        let ids: Vec<_> = containers.iter().map(|container| container.id.clone()).collect();
        let counters = match sandbox.shim.stats(ids).await {
            Ok(counters) => counters,
            Err(error) => {
                tracing::debug!(sandbox = sandbox.id, "no counters: {}", chain(&error));
                return Vec::new();
            }
        };
        let mut list = Vec::new();
        for counters in counters {
            let layer = self.config.layer_dir(&counters.container_id).join("upper");
            let writable_layer = blocking(move || Ok(usage(&layer))).await.unwrap_or_default();
            list.push(ContainerStats {
                id: counters.container_id,
                timestamp: counters.timestamp_ns,
                cpu_usage_ns: counters.cpu_usage_ns,
                memory_usage_bytes: counters.memory_usage_bytes,
                memory_working_set_bytes: counters.memory_working_set_bytes,
                memory_rss_bytes: counters.memory_rss_bytes,
                memory_page_faults: counters.memory_page_faults,
                memory_major_page_faults: counters.memory_major_page_faults,
                memory_limit_bytes: counters.memory_limit_bytes,
                swap_usage_bytes: counters.swap_usage_bytes,
                swap_limit_bytes: counters.swap_limit_bytes,
                pids: counters.pids,
                writable_layer,
            });
        }
        list
    }

    /// Of the interfaces that a sandbox's namespace has, but for the loopback.
    pub(crate) async fn sandbox_network_stats(&self, id: &str) -> Result<Vec<InterfaceStats>> {
        let entry: Arc<SandboxEntry> = self.sandboxes.find(id)?;
        let record = entry.record.get();
        let Some(shim) =
            record.shim.filter(|_| record.phase == SandboxPhase::Ready && !record.spec.host_network)
        else {
            return Ok(Vec::new());
        };
        let path = format!("/proc/{}/net/dev", shim.pid);
        let text = std::fs::read_to_string(&path).at("read", path)?;
        Ok(text.lines().filter_map(interface).filter(|interface| interface.name != "lo").collect())
    }
}

/// A line of proc_pid_net(5)'s `dev`: eight counters received, eight sent.
fn interface(line: &str) -> Option<InterfaceStats> {
    let (name, counters) = line.split_once(':')?;
    let counters: Vec<u64> =
        counters.split_ascii_whitespace().map_while(|field| field.parse().ok()).collect();
    let &[rx_bytes, _, rx_errors, _, _, _, _, _, tx_bytes, _, tx_errors, ..] = &counters[..] else {
        return None;
    };
    Some(InterfaceStats { name: name.trim().to_owned(), rx_bytes, rx_errors, tx_bytes, tx_errors })
}

/// What vanishes meanwhile, or cannot be read, does not count. Links are not followed.
fn usage(dir: &Path) -> FsUsage {
    let mut sum = FsUsage::default();
    let Ok(entries) = std::fs::read_dir(dir) else { return sum };
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        sum.bytes += metadata.blocks() * 512;
        sum.inodes += 1;
        if metadata.is_dir() {
            let below = usage(&entry.path());
            sum.bytes += below.bytes;
            sum.inodes += below.inodes;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read() {
        let line = "  eth0:    1296      16    1    2    0     0          0         3     1006      13    4    5    0     0       0          0";
        let expected = InterfaceStats {
            name: "eth0".into(),
            rx_bytes: 1296,
            rx_errors: 1,
            tx_bytes: 1006,
            tx_errors: 4,
        };
        assert_eq!(interface(line), Some(expected));
        assert_eq!(interface("Inter-|   Receive                    |  Transmit"), None);
    }

    #[test]
    fn files_below_count_and_links_do_not_lead_away() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("link")).unwrap();
        let usage = usage(dir.path());
        assert_eq!(usage.inodes, 3);
        assert!((100_000..1_000_000).contains(&usage.bytes), "{usage:?}");
        assert_eq!(super::usage(Path::new("/absent")), FsUsage::default());
    }
}
