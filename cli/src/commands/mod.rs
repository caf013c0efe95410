//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod completions;
pub(crate) mod cri;
pub(crate) mod describe;
pub(crate) mod exec;
pub(crate) mod failpoints;
pub(crate) mod get;
pub(crate) mod image;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod validate;
pub(crate) mod version;

mod find;

use crate::args::Command;

/// Carries out a command; returns the exit code.
pub(crate) async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Agent(args) => agent::run(*args).await?,
        Command::Cri(args) => cri::run(args).await?,
        Command::Get(args) => get::run(args).await?,
        Command::Describe(args) => describe::run(args).await?,
        Command::Logs(args) => logs::run(args).await?,
        Command::Exec(args) => return exec::run(args).await,
        Command::Image(args) => image::run(args).await?,
        Command::Validate(args) => return validate::run(&args),
        Command::Version(args) => version::run(args).await?,
        Command::Completions(args) => completions::run(&args)?,
        Command::Man(args) => man::run(&args)?,
        Command::Failpoints(args) => failpoints::run(&args)?,
    }
    Ok(0)
}
