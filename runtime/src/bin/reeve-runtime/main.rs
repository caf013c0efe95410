//! `reeve-runtime`: the library under runc's command line.

mod args;
mod commands;
mod exec;
mod log;
mod report;
mod run;
mod session;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use log::Log;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no failure; for the rest runc's code is 1, clap's would be 2.
            let failed = error.use_stderr();
            let _ = error.print();
            return ExitCode::from(u8::from(failed));
        }
    };
    let log = match Log::open(&args.global) {
        Ok(log) => log,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return ExitCode::from(1);
        }
    };
    let (name, failure_code) = match &args.command {
        Command::Create(_) => ("create failed: ", 1),
        Command::Run(_) => ("run failed: ", 1),
        Command::Exec(_) => ("exec failed: ", 255),
        _ => ("", 1),
    };
    match commands::run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&format!("{name}{error}"));
            ExitCode::from(failure_code)
        }
    }
}
