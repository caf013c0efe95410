//! `reeve get`: what there is.

mod events;
mod output;
mod pods;
mod sources;

use clap::{Args, Subcommand};

pub(crate) use self::output::{Format, object};

/// Show pods, events or sources
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct GetArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Pods(pods::PodsArgs),
    Events(events::EventsArgs),
    Sources(sources::SourcesArgs),
}

/// Shows what was asked for.
pub(crate) async fn run(args: GetArgs) -> anyhow::Result<()> {
    match args.what {
        What::Pods(args) => pods::run(args).await,
        What::Events(args) => events::run(args).await,
        What::Sources(args) => sources::run(args).await,
    }
}
