//! `run`: create, start, wait, delete.

use std::path::Path;

use reeve_runtime::{Container, Error, Stdio, read_spec};

use crate::args::Run;
use crate::commands::request;
use crate::session::Session;

pub(crate) fn run(root: &Path, options: &Run, systemd_cgroup: bool) -> Result<u8, Error> {
    let create = &options.create;
    let spec = read_spec(&create.bundle.join("config.json"))?;
    let terminal = spec.process().as_ref().is_some_and(|process| process.terminal().unwrap_or(false));
    let attached = !options.detach;
    let mut request = request(root, create, systemd_cgroup);
    request.spec = Some(spec);
    if terminal && (attached || create.console_socket.is_some()) {
        request.stdio = Stdio::Terminal;
    }
    let session = if attached { Some(Session::begin()?) } else { None };
    let (mut container, started) = Container::create(request)?;
    if let Err(error) = container.start() {
        // The first error is what the user needs; the container goes, as after any end.
        let _ = container.delete(true);
        return Err(error);
    }
    let Some(session) = session else { return Ok(0) };
    let code = session.wait(started)?;
    if !options.keep {
        container.delete(true)?;
    }
    Ok(code)
}
