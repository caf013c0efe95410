//! Requests and limits as cgroup settings, and the class of service that follows from them.

use std::sync::OnceLock;

use k8s_openapi::api::core::v1::{Container, Pod};
use reeve_manifests::Amount;
use reeve_proto::cri::LinuxContainerResources;

/// `status.qosClass`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl QosClass {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }

    /// Cgroup of this class's pods below the parent of all pods.
    fn directory(self) -> Option<&'static str> {
        match self {
            QosClass::Guaranteed => None,
            QosClass::Burstable => Some("burstable"),
            QosClass::BestEffort => Some("besteffort"),
        }
    }
}

fn amount(
    list: Option<&std::collections::BTreeMap<String, super::sandbox::Quantity>>,
    name: &str,
) -> Option<Amount> {
    list.and_then(|l| l.get(name)).and_then(Amount::of)
}

fn request(c: &Container, name: &str) -> Option<Amount> {
    amount(c.resources.as_ref().and_then(|r| r.requests.as_ref()), name)
}

fn limit(c: &Container, name: &str) -> Option<Amount> {
    amount(c.resources.as_ref().and_then(|r| r.limits.as_ref()), name)
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.iter();
    spec.flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
}

/// The class of a pod: guaranteed when every container's cpu and memory are limited to what they request, best
/// effort when nothing is set, burstable otherwise.
pub(crate) fn qos_class(pod: &Pod) -> QosClass {
    let set = |a: Option<Amount>| a.filter(|a| a.milli() > 0);
    let mut any = false;
    let mut all = true;
    for c in containers(pod) {
        for name in ["cpu", "memory"] {
            let (request, limit) = (set(request(c, name)), set(limit(c, name)));
            any |= request.is_some() || limit.is_some();
            all &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, all) {
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
        (false, _) => QosClass::BestEffort,
    }
}

/// Cgroup of a pod, as the kubelet lays them out; empty leaves it to the runtime.
pub(crate) fn cgroup_parent(parent: &str, pod: &Pod) -> String {
    if parent.is_empty() {
        return String::new();
    }
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let parent = parent.trim_end_matches('/');
    match qos_class(pod).directory() {
        Some(class) => format!("{parent}/{class}/pod{uid}"),
        None => format!("{parent}/pod{uid}"),
    }
}

const PERIOD: i64 = 100_000;

fn shares(milli: i64) -> i64 {
    (milli * 1024 / 1000).clamp(2, 262_144)
}

fn quota(milli: i64) -> i64 {
    (milli * PERIOD / 1000).max(1000)
}

/// Settings of a container's cgroup.
pub(crate) fn linux_resources(c: &Container, pod: &Pod) -> LinuxContainerResources {
    let cpu = request(c, "cpu").or(limit(c, "cpu")).map_or(0, Amount::milli);
    let mut resources = LinuxContainerResources {
        cpu_shares: shares(cpu),
        oom_score_adj: oom_score_adj(c, pod),
        ..LinuxContainerResources::default()
    };
    if let Some(limit) = limit(c, "cpu").map(Amount::milli).filter(|milli| *milli > 0) {
        resources.cpu_period = PERIOD;
        resources.cpu_quota = quota(limit);
    }
    if let Some(limit) = limit(c, "memory").map(Amount::whole).filter(|bytes| *bytes > 0) {
        resources.memory_limit_in_bytes = limit;
    }
    resources
}

/// Settings of the pod's own cgroup: the sum of its containers, without a limit where one of them has none.
pub(crate) fn pod_resources(pod: &Pod) -> LinuxContainerResources {
    let Some(spec) = &pod.spec else { return LinuxContainerResources::default() };
    let sum = |of: &dyn Fn(&Container) -> Option<i64>| spec.containers.iter().map(of).sum::<Option<i64>>();
    let init = |of: &dyn Fn(&Container) -> Option<i64>| {
        spec.init_containers.iter().flatten().map(of).try_fold(0, |most, one| Some(most.max(one?)))
    };
    let most = |of: &dyn Fn(&Container) -> Option<i64>| Some(sum(of)?.max(init(of)?));
    let cpu = most(&|c| Some(request(c, "cpu").map_or(0, Amount::milli))).unwrap_or(0);
    let mut resources =
        LinuxContainerResources { cpu_shares: shares(cpu), ..LinuxContainerResources::default() };
    if let Some(milli) = most(&|c| limit(c, "cpu").map(Amount::milli)).filter(|m| *m > 0) {
        resources.cpu_period = PERIOD;
        resources.cpu_quota = quota(milli);
    }
    if let Some(bytes) = most(&|c| limit(c, "memory").map(Amount::whole)).filter(|b| *b > 0) {
        resources.memory_limit_in_bytes = bytes;
    }
    resources
}

/// How readily the kernel kills a container when memory is short: the kubelet's `qos.GetContainerOOMScoreAdjust`.
fn oom_score_adj(c: &Container, pod: &Pod) -> i64 {
    match qos_class(pod) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let requested = request(c, "memory").map_or(0, Amount::whole);
            let share = i128::from(requested) * 1000 / i128::from(node_memory().max(1));
            let adjust = 1000 - i64::try_from(share).unwrap_or(1000);
            // One more than the guaranteed, one less than best effort.
            adjust.clamp(3, 999)
        }
    }
}

/// Memory of this machine in bytes.
pub(crate) fn node_memory() -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:")).unwrap_or_default();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    })
}

/// Processors of this machine.
pub(crate) fn node_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(containers: &str) -> Pod {
        let json = format!("{{\"metadata\":{{\"uid\":\"u\"}},\"spec\":{{\"containers\":[{containers}]}}}}");
        serde_json::from_str(&json).unwrap_or_default()
    }

    #[test]
    fn classes_and_settings_are_the_kubelets() {
        let best = pod("{\"name\":\"a\"}");
        let burst = pod("{\"name\":\"a\",\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":\"1\"}}}");
        let sure = pod("{\"name\":\"a\",\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"64Mi\"},\
             \"requests\":{\"cpu\":\"500m\",\"memory\":\"64Mi\"}}}");
        for (pod, class, parent, shares, quota, oom) in [
            (&best, QosClass::BestEffort, "/p/besteffort/podu", 2, 0, 1000),
            (&burst, QosClass::Burstable, "/p/burstable/podu", 256, 0, 999),
            (&sure, QosClass::Guaranteed, "/p/podu", 512, 50_000, -997),
        ] {
            assert_eq!(qos_class(pod), class);
            assert_eq!(cgroup_parent("/p", pod), parent);
            let c = containers(pod).next().cloned().unwrap_or_default();
            let resources = linux_resources(&c, pod);
            assert_eq!(
                (resources.cpu_shares, resources.cpu_quota, resources.oom_score_adj),
                (shares, quota, oom)
            );
        }
        assert_eq!(pod_resources(&sure).memory_limit_in_bytes, 64 << 20);
        assert_eq!(pod_resources(&burst).memory_limit_in_bytes, 0);
    }
}
