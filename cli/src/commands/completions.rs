//! `reeve completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::out;

const EXAMPLES: &str = "\
Examples:
  reeve completions bash > /usr/share/bash-completion/completions/reeve
  reeve completions fish > ~/.config/fish/completions/reeve.fish";

/// Write a shell's completions to standard output
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the completions.
pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "reeve", &mut script);
    Ok(out::bytes(&script)?)
}
