use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Limits of a container. Absent or zero: not set (and left as it is by an update).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Relative weight of CPU time; 1024 is one CPU's worth.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU per period; -1: without limit.
    pub cpu_quota: Option<i64>,
    /// Length of the period in microseconds.
    pub cpu_period: Option<u64>,
    /// CPUs it may use, as `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    pub cpuset_mems: Option<String>,
    /// Bytes of memory; -1: without limit.
    pub memory_limit: Option<i64>,
    /// Bytes of memory and swap together; -1: without limit.
    pub memory_swap: Option<i64>,
    /// Preference of the kernel's OOM killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Number of processes; -1: without limit.
    pub pids_limit: Option<i64>,
    /// Limits of huge pages.
    pub hugepages: Vec<HugepageLimit>,
    /// Files of cgroup v2 and what to write in them.
    pub unified: BTreeMap<String, String>,
}

/// Limit of one size of huge pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugepageLimit {
    /// Size as the kernel names it, `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

impl Resources {
    /// Takes over what `newer` sets and keeps the rest.
    pub fn merge(&mut self, newer: &Resources) {
        fn take<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        take(&mut self.cpu_shares, &newer.cpu_shares);
        take(&mut self.cpu_quota, &newer.cpu_quota);
        take(&mut self.cpu_period, &newer.cpu_period);
        take(&mut self.cpuset_cpus, &newer.cpuset_cpus);
        take(&mut self.cpuset_mems, &newer.cpuset_mems);
        take(&mut self.memory_limit, &newer.memory_limit);
        take(&mut self.memory_swap, &newer.memory_swap);
        take(&mut self.oom_score_adj, &newer.oom_score_adj);
        take(&mut self.pids_limit, &newer.pids_limit);
        if !newer.hugepages.is_empty() {
            self.hugepages.clone_from(&newer.hugepages);
        }
        self.unified.extend(newer.unified.iter().map(|(file, value)| (file.clone(), value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keeps_what_the_newer_leaves_out() {
        let mut old = Resources { cpu_shares: Some(2), memory_limit: Some(10), ..Resources::default() };
        old.merge(&Resources { memory_limit: Some(20), ..Resources::default() });
        assert_eq!(old, Resources { cpu_shares: Some(2), memory_limit: Some(20), ..Resources::default() });
    }
}
