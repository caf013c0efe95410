//! The settings of one agent.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::images::LocalImages;

/// Settings of one agent; two agents whose settings differ in every path never meet.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directories and files with manifests, watched for changes.
    pub manifests: Vec<PathBuf>,
    /// Credentials of a cluster whose pods bound to `node_name` are run too.
    pub kubeconfig: Option<PathBuf>,
    /// Socket of the container runtime (CRI), ours or another's.
    pub cri_socket: PathBuf,
    /// Where the agent's own HTTP API listens.
    pub api_socket: PathBuf,
    /// Directory that survives reboots: `agent/` (ledger) and `pods/<uid>/volumes`.
    pub root: PathBuf,
    /// Parent of every pod's log directory.
    pub log_root: PathBuf,
    /// Cgroup that holds all pods; QoS classes and pods lie below it. Empty leaves it to the runtime.
    pub cgroup_parent: String,
    /// Name of this node: suffix of static pods' names, `spec.nodeName`, and the Node in the cluster.
    pub node_name: String,
    /// Address of this node as pods report it (`hostIP`).
    pub node_ip: Option<IpAddr>,
    /// How many pods the node offers to take from a cluster.
    pub max_pods: u32,
    /// Leave pods running when the agent stops.
    pub keep: bool,
    /// How often the runtime is listed whole, as a net under its events.
    pub relist: Duration,
    /// What can be done with images beyond CRI; `None` where the runtime is another's.
    pub images: Option<Arc<dyn LocalImages>>,
}

impl Config {
    /// The defaults around one root, state directory and runtime socket.
    pub fn new(root: &Path, state: &Path, cri_socket: &Path) -> Config {
        Config {
            manifests: Vec::new(),
            kubeconfig: None,
            cri_socket: cri_socket.to_path_buf(),
            api_socket: state.join("agent.sock"),
            root: root.to_path_buf(),
            log_root: PathBuf::from("/var/log/pods"),
            cgroup_parent: "/reeve".into(),
            node_name: "localhost".into(),
            node_ip: None,
            max_pods: 110,
            keep: false,
            relist: Duration::from_secs(300),
            images: None,
        }
    }

    /// Directory of a pod's volumes and other files on disk.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Directory of a pod's logs, where log collectors look: `<namespace>_<name>_<uid>`.
    pub fn pod_log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.log_root.join(format!("{namespace}_{name}_{uid}"))
    }
}
