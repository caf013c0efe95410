//! `reeve describe pod`.

use clap::{Args, Subcommand};
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use super::find;
use crate::client::segment;
use crate::out;
use crate::settings::{ClientFlags, NamespaceFlag};
use crate::view;

/// Tell everything about a pod
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct DescribeArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Pod(PodArgs),
}

const EXAMPLES: &str = "\
Examples:
  reeve describe pod web        state of each container, conditions, volumes, and what happened";

/// Tell everything about a pod: containers, conditions, volumes, and what happened to it
#[derive(Args, Debug)]
#[command(visible_alias = "pods", alias = "po", after_help = EXAMPLES)]
struct PodArgs {
    /// Name of the pod
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,

    #[command(flatten)]
    namespace: NamespaceFlag,

    #[command(flatten)]
    client: ClientFlags,
}

/// Tells everything about what was named.
pub(crate) async fn run(args: DescribeArgs) -> anyhow::Result<()> {
    let What::Pod(args) = args.what;
    let agent = args.client.agent();
    for (at, name) in args.names.iter().enumerate() {
        let namespace = &args.namespace.namespace;
        let pod = find::pod(&agent, namespace, name).await?;
        let path = format!("/api/v1/namespaces/{}/events", segment(namespace));
        let mut events = agent.get::<List<Event>>(&path).await?.items;
        events.retain(|event| event.involved_object.uid == pod.metadata.uid);
        if at > 0 {
            out::line("\n")?;
        }
        out::bytes(view::describe::pod(&pod, &events, Timestamp::now()).as_bytes())?;
    }
    Ok(())
}
