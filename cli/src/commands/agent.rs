//! `reeve agent`: keeps this node as the manifests say.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use crate::node;
use crate::settings::NodeFlags;

const EXAMPLES: &str = "\
Examples:
  reeve agent --manifests ./pods                  run the pods of a directory; Ctrl-C removes them
  reeve agent --manifests ./pods --keep           leave them running at the end
  reeve agent --kubeconfig /etc/reeve/kubeconfig  be a node of a cluster
  reeve agent --manifests ./pods --cri-socket /run/containerd/containerd.sock
                                                  let containerd run the pods

Signals: the first SIGINT or SIGTERM ends the agent, with its pods unless --keep; the second ends it at once.";

/// Run the pods that manifests declare, and keep them as declared
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AgentArgs {
    /// Directory (or file) of manifests, watched for changes; may be repeated
    #[arg(short, long, env = "REEVE_MANIFESTS", value_name = "PATH", value_delimiter = ':')]
    #[arg(hide_env_values = true, required_unless_present = "kubeconfig")]
    pub(crate) manifests: Vec<PathBuf>,

    /// Credentials of a cluster: this becomes a node of it, and runs the pods bound to the node too
    #[arg(long, env = "REEVE_KUBECONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Leave the pods running when the agent ends
    #[arg(long, env = "REEVE_KEEP", hide_env_values = true)]
    pub(crate) keep: bool,

    /// Bring an image archive into the store before the pods start; may be repeated
    #[arg(long = "import", value_name = "ARCHIVE", conflicts_with = "cri_socket")]
    pub(crate) imports: Vec<PathBuf>,

    /// Show the live table even if standard output is no terminal
    #[arg(long, overrides_with = "no_table")]
    pub(crate) table: bool,

    /// Show log lines instead of the live table
    #[arg(long)]
    pub(crate) no_table: bool,

    /// Name of this node [default: the host name]
    #[arg(long, env = "REEVE_NODE_NAME", value_name = "NAME", hide_env_values = true)]
    pub(crate) node_name: Option<String>,

    /// Address of this node [default: that of the default route]
    #[arg(long, env = "REEVE_NODE_IP", value_name = "ADDRESS", hide_env_values = true)]
    pub(crate) node_ip: Option<IpAddr>,

    /// How many pods the node offers to take from a cluster
    #[arg(
        long,
        env = "REEVE_MAX_PODS",
        default_value_t = 110,
        value_name = "NUMBER",
        hide_env_values = true
    )]
    pub(crate) max_pods: u32,

    /// Use the container runtime on this socket instead of the one built in
    #[arg(long, env = "REEVE_CRI_SOCKET", value_name = "PATH", hide_env_values = true)]
    #[arg(help_heading = "Places")]
    pub(crate) cri_socket: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) node: NodeFlags,
}

/// Runs the agent until a signal ends it.
pub(crate) async fn run(args: AgentArgs) -> anyhow::Result<()> {
    node::agent(args).await
}
