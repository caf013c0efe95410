use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use reeve_network::PortMapping;
use serde::{Deserialize, Serialize};

use super::Seccomp;

/// Who a sandbox is to its caller. The four together are unique among the sandboxes of one engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxMetadata {
    /// Name of the pod.
    pub name: String,
    /// Unique id of the pod.
    pub uid: String,
    /// Namespace of the pod.
    pub namespace: String,
    /// Counts the sandboxes made for one pod, from 0.
    pub attempt: u32,
}

/// What resolv.conf of the sandbox says. All empty: the host's resolv.conf is copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options, as `ndots:5`.
    pub options: Vec<String>,
}

/// A sandbox as its caller wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxSpec {
    /// Who it is.
    pub metadata: SandboxMetadata,
    /// Host name inside; ignored on the host's network.
    pub hostname: String,
    /// The caller's labels, kept as they are.
    pub labels: BTreeMap<String, String>,
    /// The caller's annotations, kept as they are.
    pub annotations: BTreeMap<String, String>,
    /// Directory of the containers' logs; empty: containers have none.
    pub log_directory: PathBuf,
    /// Name resolution.
    pub dns: Dns,
    /// Host ports; ignored on the host's network.
    pub ports: Vec<PortMapping>,
    /// Uses the host's network namespace (and its UTS namespace).
    pub host_network: bool,
    /// Containers may use the host's PID namespace.
    pub host_pid: bool,
    /// Uses the host's IPC namespace and /dev/shm.
    pub host_ipc: bool,
    /// All containers share one PID namespace, kept by an init of the pod.
    pub share_pid: bool,
    /// Parent of the containers' cgroups, as the kubelet gives it (`/kubepods/burstable/pod…`, or a slice's
    /// name). Empty: a cgroup of the sandbox's own under the configured parent.
    pub cgroup_parent: String,
    /// Sysctls of the sandbox's namespaces, in dotted form.
    pub sysctls: BTreeMap<String, String>,
    /// May hold privileged containers.
    pub privileged: bool,
    /// Seccomp profile of the sandbox; containers name their own.
    pub seccomp: Seccomp,
    /// Name of the runtime; only the empty one and `reeve` exist.
    pub runtime_handler: String,
}

/// Whether a sandbox can take containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SandboxState {
    /// Its shim, namespaces and network are there.
    Ready,
    /// Being made, stopped, lost, or left over from before a reboot.
    NotReady,
}

/// A sandbox as it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// 64 hexadecimal digits.
    pub id: String,
    /// As it was asked for.
    pub spec: Arc<SandboxSpec>,
    /// Whether it can take containers.
    pub state: SandboxState,
    /// When it was asked for, in nanoseconds since 1970.
    pub created_at: i64,
    /// Its addresses, the primary first; empty on the host's network.
    pub ips: Vec<IpAddr>,
    /// Process that keeps its namespaces; 0 when there is none.
    pub shim_pid: u32,
}
