//! Logs go to standard error: text for people, JSON for collectors.

use std::io::{self, IsTerminal};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::terminal::screen;

/// How much is logged, and how.
#[derive(Args, Debug)]
pub(crate) struct LogFlags {
    /// What to log: error, warn, info, debug, trace, or a filter such as `reeve_cri=debug,info`
    #[arg(long, global = true, env = "RUST_LOG", value_name = "LEVEL", default_value = "info")]
    #[arg(help_heading = "Logging", hide_env_values = true)]
    log_level: String,

    /// How log lines look
    #[arg(long, global = true, env = "REEVE_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    #[arg(help_heading = "Logging", hide_env_values = true)]
    log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// One line of text for each event
    Text,
    /// One JSON object for each event
    Json,
}

/// Starts logging for the whole process.
pub(crate) fn start(flags: &LogFlags) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter(&flags.log_level))
        .with_context(|| format!("--log-level {:?} is no level and no filter", flags.log_level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr);
    match flags.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => {
            let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(coloured).with_target(false).init();
        }
    }
    Ok(())
}

/// A plain level with what would drown the log left out: the cluster's client tells of each refused connection as an
/// error, while the agent tells once that the cluster is away. A filter is taken as it is.
fn filter(level: &str) -> String {
    match level {
        "error" | "warn" | "info" => format!("{level},kube_client=off"),
        _ => level.to_owned(),
    }
}

/// Standard error, above the live table where one is shown.
struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = screen::AboveTable;

    fn make_writer(&'a self) -> screen::AboveTable {
        screen::AboveTable
    }
}
