//! The patch of a pod's status: strategic, since others write to it too.

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use serde_json::{Value, json};

/// Lists that the API server would merge by a key, and that are ours alone.
const OURS: [&str; 2] = ["podIPs", "hostIPs"];

/// Fields that go when they are not set any more.
const FADING: [&str; 4] = ["message", "reason", "podIP", "podIPs"];

/// The patch that makes `status` the status of `object`. The UID in it keeps it from meeting another pod of the same
/// name; `PodScheduled` is the scheduler's.
pub(super) fn of(object: &Pod, status: &PodStatus) -> Value {
    let mut fields = json!(status);
    for key in FADING {
        if fields.get(key).is_none() {
            fields[key] = Value::Null;
        }
    }
    for key in OURS {
        if let Some(list) = fields.get_mut(key).and_then(Value::as_array_mut) {
            list.insert(0, json!({"$patch": "replace"}));
        }
    }
    if let Some(conditions) = fields.get_mut("conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != "PodScheduled");
    }
    if let Some(generation) = object.metadata.generation {
        fields["observedGeneration"] = json!(generation);
    }
    json!({"metadata": {"uid": object.metadata.uid}, "status": fields})
}

/// Whether the object says otherwise than `status`, of its phase or a condition: somebody else wrote to it, for
/// instance because the node was taken for lost.
pub(super) fn is_contradicted(object: &Pod, status: &PodStatus) -> bool {
    let Some(shown) = &object.status else { return false };
    let ours = status.conditions.iter().flatten().filter(|condition| condition.type_ != "PodScheduled");
    let theirs = shown.conditions.as_deref().unwrap_or_default();
    let differs = |ours: &PodCondition| {
        theirs.iter().any(|theirs| theirs.type_ == ours.type_ && theirs.status != ours.status)
    };
    shown.phase != status.phase || ours.into_iter().any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_what_others_wrote() {
        let pod = |ready: &str| -> Pod {
            let conditions =
                json!([{"type": "Ready", "status": ready}, {"type": "PodScheduled", "status": "True"}]);
            serde_json::from_value(json!({"status": {"phase": "Running", "conditions": conditions}}))
                .expect("a pod")
        };
        let ours = pod("True").status.expect("a status");
        assert!(!is_contradicted(&pod("True"), &ours));
        assert!(is_contradicted(&pod("False"), &ours));
        assert!(!is_contradicted(&Pod::default(), &ours));
    }

    #[test]
    fn writes_what_is_ours() {
        let object =
            serde_json::from_value(json!({"metadata": {"uid": "u1", "generation": 2}})).expect("a pod");
        let status = serde_json::from_value(json!({
            "phase": "Running", "podIPs": [{"ip": "10.88.0.2"}], "podIP": "10.88.0.2",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        }))
        .expect("a status");
        assert_eq!(
            of(&object, &status),
            json!({
                "metadata": {"uid": "u1"},
                "status": {
                    "phase": "Running", "observedGeneration": 2,
                    "podIP": "10.88.0.2", "podIPs": [{"$patch": "replace"}, {"ip": "10.88.0.2"}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "message": null, "reason": null,
                },
            })
        );
    }
}
