//! Limits. In CRI zero means "not set"; the engine says so with an absent value.

use reeve_engine::{HugepageLimit, Resources};
use reeve_proto::cri;

use super::fault::Fault;

/// The engine's limits for `resources`, found in the request at `field`.
pub(crate) fn to_engine(field: &str, resources: &cri::LinuxContainerResources) -> Result<Resources, Fault> {
    Ok(Resources {
        cpu_shares: not_negative(field, "cpu_shares", resources.cpu_shares)?,
        cpu_quota: limit_or_none(field, "cpu_quota", resources.cpu_quota)?,
        cpu_period: not_negative(field, "cpu_period", resources.cpu_period)?,
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        memory_limit: limit_or_none(field, "memory_limit_in_bytes", resources.memory_limit_in_bytes)?,
        memory_swap: limit_or_none(
            field,
            "memory_swap_limit_in_bytes",
            resources.memory_swap_limit_in_bytes,
        )?,
        oom_score_adj: oom_score_adj(field, resources.oom_score_adj)?,
        pids_limit: None,
        hugepages: resources
            .hugepage_limits
            .iter()
            .map(|limit| HugepageLimit { page_size: limit.page_size.clone(), limit: limit.limit })
            .collect(),
        unified: resources.unified.clone().into_iter().collect(),
    })
}

/// CRI's words for limits that are in force.
pub(crate) fn to_cri(resources: &Resources) -> cri::LinuxContainerResources {
    cri::LinuxContainerResources {
        cpu_period: from_unsigned(resources.cpu_period),
        cpu_quota: resources.cpu_quota.unwrap_or_default(),
        cpu_shares: from_unsigned(resources.cpu_shares),
        memory_limit_in_bytes: resources.memory_limit.unwrap_or_default(),
        oom_score_adj: resources.oom_score_adj.unwrap_or_default().into(),
        cpuset_cpus: resources.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: resources.cpuset_mems.clone().unwrap_or_default(),
        hugepage_limits: resources
            .hugepages
            .iter()
            .map(|limit| cri::HugepageLimit { page_size: limit.page_size.clone(), limit: limit.limit })
            .collect(),
        unified: resources.unified.clone().into_iter().collect(),
        memory_swap_limit_in_bytes: resources.memory_swap.unwrap_or_default(),
    }
}

fn not_negative(field: &str, name: &str, value: i64) -> Result<Option<u64>, Fault> {
    match u64::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Fault::invalid(format!("{field}.{name}"), format!("{value} is negative"))),
    }
}

/// -1 lifts the limit.
fn limit_or_none(field: &str, name: &str, value: i64) -> Result<Option<i64>, Fault> {
    match value {
        0 => Ok(None),
        -1 | 1.. => Ok(Some(value)),
        _ => Err(Fault::invalid(format!("{field}.{name}"), format!("{value} is neither a size nor -1"))),
    }
}

fn oom_score_adj(field: &str, value: i64) -> Result<Option<i32>, Fault> {
    match i32::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value @ -1000..=1000) => Ok(Some(value)),
        _ => Err(Fault::invalid(
            format!("{field}.oom_score_adj"),
            format!("{value} is not within -1000 and 1000"),
        )),
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn from_unsigned(value: Option<u64>) -> i64 {
    value.map_or(0, |value| i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn limits_survive_the_round_trip() {
        let asked = cri::LinuxContainerResources {
            cpu_period: 100_000,
            cpu_quota: 50_000,
            cpu_shares: 512,
            memory_limit_in_bytes: 64 << 20,
            oom_score_adj: -997,
            cpuset_cpus: "0-1".to_owned(),
            cpuset_mems: "0".to_owned(),
            hugepage_limits: vec![cri::HugepageLimit { page_size: "2MB".to_owned(), limit: 4 << 20 }],
            unified: [("memory.high".to_owned(), "max".to_owned())].into(),
            memory_swap_limit_in_bytes: -1,
        };
        assert_eq!(to_cri(&to_engine("linux", &asked).unwrap()), asked);
    }

    #[test]
    fn zero_is_not_set() {
        let resources = to_engine("linux", &cri::LinuxContainerResources::default()).unwrap();
        assert_eq!(resources, Resources::default());
    }

    #[test]
    fn faults_name_the_field() {
        let asked = cri::LinuxContainerResources { oom_score_adj: 2000, ..Default::default() };
        let fault = to_engine("linux", &asked).unwrap_err();
        assert_eq!(fault.to_string(), "linux.oom_score_adj: 2000 is not within -1000 and 1000");

        let asked = cri::LinuxContainerResources { memory_limit_in_bytes: -5, ..Default::default() };
        assert!(to_engine("linux", &asked).is_err());
    }
}
