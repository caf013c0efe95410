//! `reeve man`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

/// Write the man pages into a directory
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Such as /usr/local/share/man/man1
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the man pages.
pub(crate) fn run(args: &ManArgs) -> anyhow::Result<()> {
    let cannot = || format!("cannot write man pages into {}", args.dir.display());
    std::fs::create_dir_all(&args.dir).with_context(cannot)?;
    clap_mangen::generate_to(crate::args::Args::command(), &args.dir).with_context(cannot)
}
