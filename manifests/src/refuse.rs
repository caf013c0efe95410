//! What this node cannot do of a pod that did not come from a file.

use k8s_openapi::api::core::v1::{Pod, Volume};
use serde_json::json;

use crate::diagnostic::Severity;
use crate::strict;
use crate::tree::Node;
use crate::validate::{Violation, validate};

/// Volumes of this name are put into every pod by the API server (its ServiceAccount admission).
const TOKEN_VOLUME: &str = "kube-api-access-";

/// Why a pod cannot run here, by the same table and the same checks that a manifest has to pass. Its metadata and
/// its status are the API server's, and are not looked at.
pub fn refusals(pod: &Pod) -> Vec<Violation> {
    let node = Node::of(&json!({"apiVersion": "v1", "kind": "Pod", "spec": pod.spec}));
    let (_, findings) = strict::read::<Pod>(&node);
    let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
    let mut refused: Vec<Violation> = findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|f| named(Violation { path: f.path, message: f.message, hint: f.hint }, volumes))
        .collect();
    // A field that was refused often makes its object incomplete: that is said once.
    if refused.is_empty() {
        refused = validate(pod).into_iter().filter(|v| !v.path.starts_with("metadata")).collect();
        for violation in &mut refused {
            violation.message = format!("{}: {}", violation.path, violation.message);
        }
    }
    refused
}

/// A volume is known by its name, not by its place in a list.
fn named(mut refused: Violation, volumes: &[Volume]) -> Violation {
    let place = refused.path.strip_prefix("spec.volumes[").and_then(|rest| rest.split_once("]."));
    let Some((index, kind)) = place else { return refused };
    let Some(volume) = index.parse().ok().and_then(|i: usize| volumes.get(i)) else { return refused };
    refused.message = format!("volume {:?} of kind {kind}: {}", volume.name, refused.message);
    if volume.name.starts_with(TOKEN_VOLUME) {
        let cure = "set automountServiceAccountToken: false in the pod or its service account";
        refused.hint = Some(cure.into());
    }
    refused
}
