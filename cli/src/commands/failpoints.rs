//! `reeve failpoints`: for tests that kill the daemon at each of them.

use std::io::Write;

use clap::Args;

/// List the points at which REEVE_FAILPOINT=NAME makes the daemon kill itself
#[derive(Args, Debug)]
pub(crate) struct FailpointsArgs {}

/// Prints the names, a line each, in the order in which operations pass them.
pub(crate) fn run(_: &FailpointsArgs) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for name in reeve_engine::failpoint::NAMES {
        writeln!(out, "{name}")?;
    }
    Ok(())
}
