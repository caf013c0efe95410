//! Which namespaces a container makes, and which it joins (namespaces(7)).

use serde_json::{Value, json};

use super::Input;
use crate::types::PidNamespace;

/// Those of the pod are the shim's own: they are joined through its entry in /proc, which is there as long as
/// the shim is. Namespaces that are not listed are the host's, which the shim has where the pod has.
pub(super) fn namespaces(input: &Input) -> Value {
    let (sandbox, spec) = (&input.sandbox.spec, &input.container.spec);
    let shim = input.sandbox.shim.map_or(0, |shim| shim.pid);
    let of_shim = |kind: &str, file: &str| json!({ "type": kind, "path": format!("/proc/{shim}/ns/{file}") });
    let mut list = vec![json!({ "type": "mount" })];
    if !sandbox.host_ipc {
        list.push(of_shim("ipc", "ipc"));
    }
    if !sandbox.host_network {
        list.push(of_shim("network", "net"));
        list.push(of_shim("uts", "uts"));
    }
    let joined = |pid: u32| json!({ "type": "pid", "path": format!("/proc/{pid}/ns/pid") });
    match &spec.security.pid {
        PidNamespace::Host => {}
        PidNamespace::Target(_) => list.push(joined(input.target_pid)),
        PidNamespace::Sandbox if sandbox.share_pid => list.push(joined(input.sandbox.pod_init)),
        PidNamespace::Sandbox | PidNamespace::Container => list.push(json!({ "type": "pid" })),
    }
    if input.cgroup_v2 && !spec.security.privileged {
        list.push(json!({ "type": "cgroup" }));
    }
    json!(list)
}
