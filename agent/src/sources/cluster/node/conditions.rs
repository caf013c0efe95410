//! Conditions of the Node, in the kubelet's words, which tools look for.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::facts::Facts;

/// Less available memory than this is pressure (the kubelet's default eviction threshold).
const MEMORY_LOW: u64 = 100 << 20;

/// Conditions as of `now`; one that has not changed keeps the time of its last change in `before`.
pub(super) fn of(facts: &Facts, before: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let memory_low = facts.memory > 0 && facts.memory_available < MEMORY_LOW;
    // A tenth of the disk, a twentieth of the PIDs.
    let disk_low = facts.disk > 0 && facts.disk_available < facts.disk / 10;
    let pids_low = facts.pids > 0 && facts.pids.saturating_sub(facts.pids_used) < facts.pids / 20;
    let ready = facts.not_ready.is_empty();
    let told = [
        pressure(
            "MemoryPressure",
            memory_low,
            ["KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"],
        ),
        pressure("DiskPressure", disk_low, ["KubeletHasDiskPressure", "KubeletHasNoDiskPressure"]),
        pressure("PIDPressure", pids_low, ["KubeletHasInsufficientPID", "KubeletHasSufficientPID"]),
        Told {
            name: "Ready",
            is_true: ready,
            reason: if ready { "KubeletReady" } else { "KubeletNotReady" },
            message: if ready { "the node takes pods".into() } else { facts.not_ready.join("; ") },
        },
    ];
    told.into_iter().map(|told| told.condition(before, now)).collect()
}

/// What of the conditions is worth a report when it changes: not the times.
pub(super) fn essence(conditions: &[NodeCondition]) -> Value {
    conditions.iter().map(|c| json!([c.type_, c.status, c.reason, c.message])).collect()
}

struct Told {
    name: &'static str,
    is_true: bool,
    reason: &'static str,
    message: String,
}

fn pressure(name: &'static str, low: bool, [yes, no]: [&'static str; 2]) -> Told {
    let message = if low { "too little is left" } else { "enough is left" };
    Told { name, is_true: low, reason: if low { yes } else { no }, message: message.into() }
}

impl Told {
    fn condition(self, before: &[NodeCondition], now: Timestamp) -> NodeCondition {
        let status = if self.is_true { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == self.name && old.status == status);
        let since = same.and_then(|old| old.last_transition_time.clone());
        NodeCondition {
            type_: self.name.into(),
            status: status.into(),
            reason: Some(self.reason.into()),
            message: Some(self.message),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: Some(since.unwrap_or(Time(now))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn healthy() -> Facts {
        Facts {
            memory: 8 << 30,
            memory_available: 4 << 30,
            disk: 100,
            disk_available: 50,
            pids: 100,
            pids_used: 10,
            ..Facts::default()
        }
    }

    fn statuses(facts: &Facts) -> Vec<String> {
        of(facts, &[], at(1)).into_iter().map(|c| format!("{}={}", c.type_, c.status)).collect()
    }

    #[test]
    fn pressures() {
        let fine = ["MemoryPressure=False", "DiskPressure=False", "PIDPressure=False", "Ready=True"];
        assert_eq!(statuses(&healthy()), fine);
        let bad = Facts {
            memory_available: 1,
            disk_available: 9,
            pids_used: 96,
            not_ready: vec!["NetworkReady is false".into()],
            ..healthy()
        };
        let pressed = ["MemoryPressure=True", "DiskPressure=True", "PIDPressure=True", "Ready=False"];
        assert_eq!(statuses(&bad), pressed);
        assert_eq!(statuses(&Facts::default()), fine, "what cannot be read is no pressure");
    }

    #[test]
    fn a_change_is_dated_and_a_heartbeat_is_not_a_change() {
        let first = of(&healthy(), &[], at(1));
        let second = of(&healthy(), &first, at(2));
        assert_eq!(second[3].last_transition_time, Some(Time(at(1))));
        assert_eq!(second[3].last_heartbeat_time, Some(Time(at(2))));
        assert_eq!(essence(&first), essence(&second));
        let broken = Facts { not_ready: vec!["no runtime".into()], ..healthy() };
        let third = of(&broken, &second, at(3));
        assert_eq!(third[3].last_transition_time, Some(Time(at(3))));
        assert_ne!(essence(&second), essence(&third));
    }
}
