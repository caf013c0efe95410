//! Flags that several commands share, each with an environment variable behind it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::client::Agent;

/// Where sockets and records of what runs are.
const DEFAULT_STATE: &str = "/run/reeve";

/// Where a running agent is found.
#[derive(Args, Debug, Clone)]
pub(crate) struct ClientFlags {
    /// State directory of the agent to ask
    #[arg(long, env = "REEVE_STATE", default_value = DEFAULT_STATE, value_name = "DIR")]
    #[arg(help_heading = "Connection", hide_env_values = true)]
    state: PathBuf,
}

impl ClientFlags {
    /// A client of that agent.
    pub(crate) fn agent(&self) -> Agent {
        Agent::at(&self.state.join("agent.sock"))
    }
}

/// Which namespace is meant.
#[derive(Args, Debug, Clone)]
pub(crate) struct NamespaceFlag {
    /// Namespace of the pod
    #[arg(short, long, env = "REEVE_NAMESPACE", default_value = "default", value_name = "NAMESPACE")]
    #[arg(hide_env_values = true)]
    pub(crate) namespace: String,
}

/// Where a node keeps what, so that two on one machine never meet.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Places")]
pub(crate) struct NodeFlags {
    /// What survives a reboot: images, layers, volumes, records
    #[arg(long, env = "REEVE_ROOT", default_value = "/var/lib/reeve", value_name = "DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) root: PathBuf,

    /// What a reboot may sweep away: sockets, shims, network namespaces
    #[arg(long, env = "REEVE_STATE", default_value = DEFAULT_STATE, value_name = "DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) state: PathBuf,

    /// Where the agent has the pods' logs written; other users of the CRI service choose for themselves
    #[arg(long, env = "REEVE_LOG_ROOT", default_value = "/var/log/pods", value_name = "DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) log_root: PathBuf,

    /// Bridge that the pods' network hangs on
    #[arg(long, env = "REEVE_BRIDGE", default_value = "reeve0", value_name = "NAME")]
    #[arg(hide_env_values = true)]
    pub(crate) bridge: String,

    /// Where the pods' IPv4 addresses come from
    #[arg(long, env = "REEVE_SUBNET", default_value = "10.88.0.0/16", value_name = "CIDR")]
    #[arg(hide_env_values = true)]
    pub(crate) subnet: Ipv4Net,

    /// Where the pods' IPv6 addresses come from; without it they have none
    #[arg(long, env = "REEVE_SUBNET6", value_name = "CIDR", hide_env_values = true)]
    pub(crate) subnet6: Option<Ipv6Net>,

    /// Parent of all cgroups made here; a slice with --systemd-cgroup
    #[arg(long, env = "REEVE_CGROUP_PARENT", value_name = "CGROUP", hide_env_values = true)]
    #[arg(help = "Parent of all cgroups made here [default: /reeve, or reeve.slice with --systemd-cgroup]")]
    cgroup_parent: Option<String>,

    /// Let systemd make the cgroups
    #[arg(long, env = "REEVE_SYSTEMD_CGROUP", hide_env_values = true)]
    pub(crate) systemd_cgroup: bool,

    /// The program that holds a pod [default: reeve-shim beside this program, then on PATH]
    #[arg(long, env = "REEVE_SHIM", value_name = "PATH", hide_env_values = true)]
    pub(crate) shim: Option<PathBuf>,

    /// Directory with HOST/hosts.toml for registries' mirrors and certificates; may be repeated
    #[arg(long = "certs-dir", env = "REEVE_CERTS_DIR", value_name = "DIR", hide_env_values = true)]
    #[arg(value_delimiter = ':')]
    pub(crate) certs_dirs: Vec<PathBuf>,
}

impl NodeFlags {
    /// The cgroup under which everything lies.
    pub(crate) fn cgroup_parent(&self) -> String {
        let default = if self.systemd_cgroup { "reeve.slice" } else { "/reeve" };
        self.cgroup_parent.clone().unwrap_or_else(|| default.to_owned())
    }

    /// Where the CRI service listens.
    pub(crate) fn cri_socket(&self) -> PathBuf {
        self.state.join("reeve.sock")
    }
}

/// The name of this node where none is given: the kernel's host name, in lower case as names of Nodes are.
pub(crate) fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).map_or_else(|| "localhost".into(), |name| name.to_lowercase())
}

/// The address by which this node reaches others: that of the default route, asked of the kernel without sending
/// anything.
pub(crate) fn node_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

/// Finds a program that belongs to us: beside this one, then on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = beside.into_iter().chain(std::env::split_paths(&path)).collect();
    dirs.into_iter().map(|dir| dir.join(name)).find(|program| program.is_file())
}
