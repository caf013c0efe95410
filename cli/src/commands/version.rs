//! `reeve version`.

use clap::Args;
use serde_json::Value;

use crate::out;
use crate::settings::ClientFlags;
use crate::version::VERSION;

/// Show the version of this program, and of the agent where one runs
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    client: ClientFlags,
}

/// Shows the versions.
pub(crate) async fn run(args: VersionArgs) -> anyhow::Result<()> {
    out::line(&format!("reeve {VERSION}"))?;
    // Without an agent there is simply less to show.
    let Ok(agent) = args.client.agent().get::<Value>("/version").await else { return Ok(()) };
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    out::line(&format!("agent {} on {}", text(&agent["agent"]), text(&agent["node"])))?;
    let runtime = &agent["runtime"];
    match runtime["error"].as_str() {
        Some(error) => out::line(&format!("runtime: {error}"))?,
        None => out::line(&format!("runtime {} {}", text(&runtime["name"]), text(&runtime["version"])))?,
    }
    Ok(())
}
