//! What may be typed: one table, from which help, completions and man pages are made.

use clap::{Parser, Subcommand};

use crate::commands::{
    agent, completions, cri, describe, exec, failpoints, get, image, logs, man, validate, version,
};
use crate::exit::CODES;
use crate::logging::LogFlags;
use crate::version::VERSION;

const EXAMPLES: &str = "\
Examples:
  reeve agent --manifests /etc/reeve/manifests   keep this node as the manifests say
  reeve get pods                                 what runs, and how it is
  reeve logs -f web                              follow a container's output
  reeve exec -it web -- sh                       a shell in a container";

/// Runs the pods that manifests declare on this node, and says how they are.
#[derive(Parser, Debug)]
#[command(name = "reeve", version = VERSION, max_term_width = 100)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{CODES}"))]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) log: LogFlags,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Agent(Box<agent::AgentArgs>),
    Cri(cri::CriArgs),
    Get(get::GetArgs),
    Describe(describe::DescribeArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Image(image::ImageArgs),
    Validate(validate::ValidateArgs),
    Version(version::VersionArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[command(hide = true)]
    Failpoints(failpoints::FailpointsArgs),
}

impl Command {
    /// Whether it serves until it is stopped.
    pub(crate) fn is_daemon(&self) -> bool {
        matches!(self, Command::Agent(_) | Command::Cri(_))
    }
}

#[cfg(test)]
mod tests;
