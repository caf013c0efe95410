//! The process and what surrounds it.

use std::fmt::Write;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd;

use crate::{Outcome, print};

/// The kernel gives process 1 no default actions, so those that matter are set: SIGTERM and SIGINT end it with
/// the code that the default action would show, children that end are not kept as zombies, and a reader that
/// went is an error of the write.
pub(crate) fn behave_as_init() {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit is async-signal-safe (signal-safety(7)).
        unsafe { libc::_exit(128 + signal) }
    }
    let set = |signal, handler| {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only calls _exit. These signals can be caught, so this cannot fail.
        let _ = unsafe { sigaction(signal, &action) };
    };
    set(Signal::SIGTERM, SigHandler::Handler(end));
    set(Signal::SIGINT, SigHandler::Handler(end));
    set(Signal::SIGCHLD, SigHandler::SigIgn);
    set(Signal::SIGPIPE, SigHandler::SigIgn);
}

/// The name of this host: the pod's.
pub(crate) fn hostname() -> Result<String, String> {
    let name = unistd::gethostname().map_err(|errno| format!("hostname: {errno}"))?;
    Ok(name.to_string_lossy().into_owned())
}

/// `env`
pub(crate) fn env() -> Outcome {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    let mut text = String::new();
    for (name, value) in variables {
        let _ = writeln!(text, "{}={}", name.to_string_lossy(), value.to_string_lossy());
    }
    print(&text)
}

/// `id`: numbers only, for the image's names are not the point.
pub(crate) fn id() -> Outcome {
    let mut groups = Vec::new();
    for group in unistd::getgroups().map_err(|errno| format!("getgroups: {errno}"))? {
        groups.push(group.to_string());
    }
    let (user, group) = (unistd::geteuid(), unistd::getegid());
    print(&format!("uid={user} gid={group} groups={} pid={}\n", groups.join(","), std::process::id()))
}
