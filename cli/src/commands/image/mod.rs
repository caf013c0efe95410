//! `reeve image`: the images of this node.

mod archive;
mod ls;
mod pull;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use crate::client::Query;
use crate::out;
use crate::settings::ClientFlags;

const EXAMPLES: &str = "\
Examples:
  reeve image ls
  reeve image pull docker.io/library/nginx:1.27
  reeve image import nginx.tar                  an OCI layout or what `docker save` wrote
  reeve image export nginx:1.27 -f nginx.tar";

/// Show, pull, remove, import and export images
#[derive(Args, Debug)]
#[command(visible_alias = "images", arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    what: What,

    #[command(flatten)]
    client: ClientFlags,
}

#[derive(Subcommand, Debug)]
enum What {
    Ls(ls::LsArgs),
    Pull(pull::PullArgs),
    Rm(RmArgs),
    Import(archive::ImportArgs),
    Export(archive::ExportArgs),
}

/// Remove images, or one of their names
#[derive(Args, Debug)]
struct RmArgs {
    /// Name or id; the last name of an image removes it
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

/// Does what was asked for.
pub(crate) async fn run(args: ImageArgs) -> anyhow::Result<()> {
    let agent = args.client.agent();
    match args.what {
        What::Ls(args) => ls::run(&agent, &args).await,
        What::Pull(args) => pull::run(&agent, &args).await,
        What::Import(args) => archive::import(&agent, &args).await,
        What::Export(args) => archive::export(&agent, &args).await,
        What::Rm(args) => {
            for image in &args.images {
                let path = Query::default().add("ref", image).on("/images");
                agent.ask::<Value>(Method::DELETE, &path).await?;
                out::line(&format!("removed {image}"))?;
            }
            Ok(())
        }
    }
}
