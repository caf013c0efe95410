//! What each command does.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use reeve_runtime::{Container, CreateRequest, Error, Stdio, default_spec, read_spec};

use crate::args::{Args, Command, Create, Delete, Kill, Spec};
use crate::{exec, report, run};

/// Carries a command out and gives the exit code.
pub(crate) fn run(args: Args) -> Result<u8, Error> {
    let root = args.global.root.unwrap_or_else(default_root);
    let load = |id: &str| Container::load(&root, id);
    match args.command {
        Command::Create(options) => {
            let (_container, _started) = create(&root, &options, args.global.systemd_cgroup)?;
        }
        Command::Run(options) => return run::run(&root, &options, args.global.systemd_cgroup),
        Command::Exec(options) => return exec::exec(&root, &options),
        Command::Start(options) => load(&options.container_id)?.start()?,
        Command::Pause(options) => load(&options.container_id)?.pause()?,
        Command::Resume(options) => load(&options.container_id)?.resume()?,
        Command::Kill(options) => kill(&root, &options)?,
        Command::Delete(options) => delete(&root, &options)?,
        Command::State(options) => {
            report::print(&report::state(&load(&options.container_id)?)?)
                .map_err(|source| Error::Setup { step: String::from("write to stdout"), source })?;
        }
        Command::List(options) => report::list(&Container::list(&root)?, options.format, options.quiet)?,
        Command::Spec(options) => write_spec(&options)?,
    }
    Ok(0)
}

/// runc's place, under our name.
fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !nix::unistd::geteuid().is_root() => Path::new(&directory).join("reeve-runtime"),
        _ => PathBuf::from("/run/reeve-runtime"),
    }
}

fn create(
    root: &Path,
    options: &Create,
    systemd_cgroup: bool,
) -> Result<(Container, reeve_runtime::Started), Error> {
    let spec = read_spec(&options.bundle.join("config.json"))?;
    let terminal = spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
    let stdio = if terminal && options.console_socket.is_some() { Stdio::Terminal } else { Stdio::Inherit };
    let mut request = request(root, options, systemd_cgroup);
    request.spec = Some(spec);
    request.stdio = stdio;
    Container::create(request)
}

/// The library's request for these options.
pub(crate) fn request<'a>(root: &'a Path, options: &'a Create, systemd_cgroup: bool) -> CreateRequest<'a> {
    CreateRequest {
        console_socket: options.console_socket.as_deref(),
        pid_file: options.pid_file.as_deref(),
        preserve_fds: options.preserve_fds,
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        systemd_cgroup,
        ..CreateRequest::new(&options.container_id, &options.bundle, root)
    }
}

fn kill(root: &Path, options: &Kill) -> Result<(), Error> {
    let signal = parse_signal(&options.signal)?;
    Container::load(root, &options.container_id)?.kill(signal, options.all)
}

/// `9`, `KILL`, `SIGKILL`, `RTMIN+3`.
fn parse_signal(text: &str) -> Result<i32, Error> {
    let unknown =
        || Error::Config { field: String::from("signal"), reason: format!("unknown signal {text:?}") };
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=libc::SIGRTMAX()).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let name = text.to_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().map_err(|_| unknown())? };
        return Ok(libc::SIGRTMIN() + offset);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

fn delete(root: &Path, options: &Delete) -> Result<(), Error> {
    match Container::load(root, &options.container_id) {
        Err(Error::NotFound { .. }) if options.force => Ok(()),
        result => result?.delete(options.force),
    }
}

fn write_spec(options: &Spec) -> Result<(), Error> {
    let path = options.bundle.join("config.json");
    let text = serde_json::to_string_pretty(&default_spec(options.rootless))
        .map_err(|source| Error::Json { path: path.clone(), source })?;
    let failed =
        |source| Error::File { action: "write (remove it first if it exists)", path: path.clone(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("9", 9), ("KILL", 9), ("sigterm", 15), ("0", 0)] {
            assert_eq!(parse_signal(text).expect(text), number);
        }
        assert_eq!(parse_signal("RTMIN+3").expect("real-time"), libc::SIGRTMIN() + 3);
        for text in ["", "NOPE", "-1", "65"] {
            assert!(parse_signal(text).is_err(), "{text}");
        }
    }
}
