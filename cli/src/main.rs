//! `reeve`: the agent of a node, its CRI service, and the commands that look at them.
//!
//! Here is only wiring: [`args`] says what may be typed, [`commands`] has a file for each command, [`node`] puts
//! engine, CRI service and agent together, [`view`] turns objects into text.

mod args;
mod client;
mod commands;
mod exit;
mod logging;
mod node;
mod out;
mod settings;
mod terminal;
mod version;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::report(&error),
    }
}

fn run(args: Args) -> anyhow::Result<u8> {
    logging::start(&args.log)?;
    let threads = if args.command.is_daemon() { 2 } else { 1 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let outcome = runtime.block_on(commands::run(args.command));
    // A read of standard input cannot be called off, and nobody waits for it any more.
    runtime.shutdown_background();
    outcome
}
