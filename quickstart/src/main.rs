//! `reeve-quickstart`: what runs in the pods of the quickstart, and a set of verbs for tests, in one static
//! program for an image that has nothing else.
//!
//! It behaves as the first process of a container should: SIGTERM ends it at once, and children that are left
//! to it do not stay as zombies.

mod arguments;
mod files;
mod memory;
mod network;
mod serve;
mod system;
mod time;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::Arguments;

const USAGE: &str = "\
usage: reeve-quickstart VERB

  serve [--port N] [--dir D]            a web server: a page, /healthz, /hostname, the files of D
  unhealthy [--port N] [--after S]      the same, whose /healthz fails after S seconds
  crash [--after S] [--code N]          ends with code N after S seconds
  hog [--mib N]                         takes memory, up to N MiB, until it is killed
  write FILE [--every S]                appends a line to FILE every S seconds
  watch FILE                            prints what is appended to FILE
  sleep [S]                             waits, for ever without S
  exit N · echo WORD... · env · id · hostname · mounts
  cat [FILE...] · ls [DIR]
  connect HOST PORT                     sends stdin to HOST:PORT and prints the answer";

/// How a verb can fail: in words for the container's log.
type Outcome = Result<ExitCode, String>;

fn main() -> ExitCode {
    system::behave_as_init();
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_default();
    let result = Arguments::parse(words).and_then(|arguments| run(&verb, &arguments));
    result.unwrap_or_else(|message| {
        let _ = writeln!(io::stderr(), "reeve-quickstart {verb}: {message}");
        ExitCode::FAILURE
    })
}

fn run(verb: &str, arguments: &Arguments) -> Outcome {
    match verb {
        "serve" => serve::serve(arguments, None),
        "unhealthy" => serve::serve(arguments, Some(arguments.seconds("after", 20)?)),
        "crash" => time::crash(arguments),
        "sleep" => time::sleep(arguments),
        "exit" => time::exit(arguments),
        "hog" => memory::hog(arguments),
        "write" => files::write(arguments),
        "watch" => files::watch(arguments),
        "cat" => files::cat(arguments),
        "ls" => files::ls(arguments),
        "echo" => print(&format!("{}\n", arguments.words().join(" "))),
        "env" => system::env(),
        "id" => system::id(),
        "hostname" => system::hostname().and_then(|name| print(&format!("{name}\n"))),
        "mounts" => files::copy("/proc/self/mountinfo"),
        "connect" => network::connect(arguments),
        "help" | "--help" => print(&format!("{USAGE}\n")),
        _ => Err(format!("no such verb\n{USAGE}")),
    }
}

/// Writes to stdout at once, so that a container's log has it when it happens.
fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map(|()| ExitCode::SUCCESS)
        .map_err(|error| format!("stdout: {error}"))
}
