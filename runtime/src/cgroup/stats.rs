//! Counters of a container's cgroup.

use std::path::Path;

use super::{Cgroup, read};
use crate::Error;
use crate::container::Stats;

impl Cgroup {
    pub(crate) fn stats(&self) -> Result<Stats, Error> {
        if self.unified { self.stats_v2() } else { self.stats_v1() }
    }

    /// How many processes the kernel killed for memory: `oom_kill` of memory.events or of v1's memory.oom_control.
    pub(crate) fn oom_kills(&self) -> Result<u64, Error> {
        let Some(directory) = self.controller("memory") else { return Ok(0) };
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        Ok(keyed(&text(&directory.join(file))?, "oom_kill"))
    }

    fn stats_v1(&self) -> Result<Stats, Error> {
        let mut stats = Stats::default();
        if let Some(directory) = self.controller("cpuacct") {
            stats.cpu_usage_ns = single(&text(&directory.join("cpuacct.usage"))?);
        }
        if let Some(directory) = self.controller("memory") {
            let counters = text(&directory.join("memory.stat"))?;
            stats.memory_usage_bytes = single(&text(&directory.join("memory.usage_in_bytes"))?);
            stats.memory_working_set_bytes =
                stats.memory_usage_bytes.saturating_sub(keyed(&counters, "total_inactive_file"));
            stats.memory_rss_bytes = keyed(&counters, "total_rss");
            stats.memory_page_faults = keyed(&counters, "total_pgfault");
            stats.memory_major_page_faults = keyed(&counters, "total_pgmajfault");
            stats.memory_limit_bytes = limit(single(&text(&directory.join("memory.limit_in_bytes"))?));
            stats.swap_usage_bytes = keyed(&counters, "total_swap");
            let both = limit(single(&text(&directory.join("memory.memsw.limit_in_bytes"))?));
            stats.swap_limit_bytes = both.saturating_sub(stats.memory_limit_bytes);
        }
        if let Some(directory) = self.controller("pids") {
            stats.pids = single(&text(&directory.join("pids.current"))?);
        }
        Ok(stats)
    }

    fn stats_v2(&self) -> Result<Stats, Error> {
        let Some(directory) = self.directories().next() else { return Ok(Stats::default()) };
        let file = |name: &str| text(&directory.join(name));
        let counters = file("memory.stat")?;
        let usage = single(&file("memory.current")?);
        Ok(Stats {
            cpu_usage_ns: keyed(&file("cpu.stat")?, "usage_usec").saturating_mul(1000),
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage.saturating_sub(keyed(&counters, "inactive_file")),
            memory_rss_bytes: keyed(&counters, "anon"),
            memory_page_faults: keyed(&counters, "pgfault"),
            memory_major_page_faults: keyed(&counters, "pgmajfault"),
            memory_limit_bytes: single(&file("memory.max")?),
            swap_usage_bytes: single(&file("memory.swap.current")?),
            swap_limit_bytes: single(&file("memory.swap.max")?),
            pids: single(&file("pids.current")?),
        })
    }
}

/// The file's text; empty where the controller or the kernel's option is not there.
fn text(file: &Path) -> Result<String, Error> {
    if file.exists() { read(file) } else { Ok(String::new()) }
}

/// A file of one number; `max` and nothing at all are 0.
fn single(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in a file of `key number` lines.
fn keyed(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

/// v1's "no limit" is the largest multiple of the page size.
fn limit(value: u64) -> u64 {
    if value >= i64::MAX as u64 - 0xffff { 0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        assert_eq!(keyed("oom 3\noom_kill 2\noom_kill_disable 0\n", "oom_kill"), 2);
        assert_eq!(keyed("oom_kill_disable 0\n", "oom_kill"), 0);
        assert_eq!(single("max\n"), 0);
        assert_eq!(limit(9_223_372_036_854_771_712), 0);
        assert_eq!(limit(4096), 4096);
    }
}
