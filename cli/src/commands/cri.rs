//! `reeve cri`: the container runtime alone.

use clap::Args;

use crate::node;
use crate::settings::NodeFlags;

const EXAMPLES: &str = "\
Examples:
  reeve cri                                                    serve on /run/reeve/reeve.sock
  crictl --runtime-endpoint unix:///run/reeve/reeve.sock pods  and look at it
  kubelet --container-runtime-endpoint=unix:///run/reeve/reeve.sock …

Pods go on when it ends, and it finds them again when it starts.";

/// Serve the container runtime (CRI) alone, for a kubelet or crictl
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CriArgs {
    #[command(flatten)]
    node: NodeFlags,
}

/// Serves until a signal ends it.
pub(crate) async fn run(args: CriArgs) -> anyhow::Result<()> {
    node::cri(args.node).await
}
