//! The command `reeve-shim`; see the library for what it does.

use std::io::Write;
use std::process::ExitCode;

use reeve_shim::{Options, run};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.len() == 1 && args[0] == "--version" {
        let _ = writeln!(std::io::stdout(), "reeve-shim {}", env!("REEVE_VERSION"));
        return ExitCode::SUCCESS;
    }
    let result = Options::parse(args).map_err(Into::into).and_then(run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The engine reads one line; after the start it goes to shim.log.
            let _ = writeln!(std::io::stdout(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
