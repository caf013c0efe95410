//! `exec`: the process object from the command line, and the wait for its end.

use std::path::Path;

use oci_spec::runtime::{Capability, Process, UserBuilder};
use reeve_runtime::{Container, Error, ExecRequest, Stdio};

use crate::args::Exec;
use crate::session::Session;

/// Ids are at most this, as in the configuration.
const MAX_ID: u32 = i32::MAX as u32;

pub(crate) fn exec(root: &Path, options: &Exec) -> Result<u8, Error> {
    let container = Container::load(root, &options.container_id)?;
    let process = match &options.process {
        Some(path) => read_process(path)?,
        None => build(container.spec()?.process().clone().unwrap_or_default(), options)?,
    };
    let terminal = process.terminal().unwrap_or(false);
    let with_terminal = terminal && (!options.detach || options.console_socket.is_some());
    let stdio = if with_terminal { Stdio::Terminal } else { Stdio::Inherit };
    let session = if options.detach { None } else { Some(Session::begin()?) };
    let started = container.exec(ExecRequest {
        console_socket: options.console_socket.as_deref(),
        pid_file: options.pid_file.as_deref(),
        preserve_fds: options.preserve_fds,
        cgroup: options.cgroup.as_deref(),
        ignore_paused: options.ignore_paused,
        ..ExecRequest::new(&process, stdio)
    })?;
    session.map_or(Ok(0), |session| session.wait(started))
}

fn read_process(path: &Path) -> Result<Process, Error> {
    let text = std::fs::read(path).map_err(|source| Error::File {
        action: "open",
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// The container's own process with what the options change.
fn build(mut process: Process, options: &Exec) -> Result<Process, Error> {
    if options.command.is_empty() {
        return Err(wrong("command", "exec args cannot be empty"));
    }
    process.set_args(Some(options.command.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(profile) = &options.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if let Some(label) = &options.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(options.env.iter().cloned());
    process.set_env(Some(env));
    add_capabilities(&mut process, &options.cap)?;
    set_user(&mut process, options)?;
    Ok(process)
}

/// To the sets that runc adds to; inheritable and ambient stay as the configuration has them.
fn add_capabilities(process: &mut Process, names: &[String]) -> Result<(), Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in names {
        let short = name.strip_prefix("CAP_").unwrap_or(name);
        let capability: Capability =
            short.parse().map_err(|_| wrong("cap", &format!("unknown capability {name:?}")))?;
        let with = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        sets.set_bounding(with(sets.bounding()));
        sets.set_effective(with(sets.effective()));
        sets.set_permitted(with(sets.permitted()));
    }
    process.set_capabilities(Some(sets));
    Ok(())
}

fn set_user(process: &mut Process, options: &Exec) -> Result<(), Error> {
    let old = process.user().clone();
    let (mut uid, mut gid) = (old.uid(), old.gid());
    if let Some(text) = &options.user {
        let (user, group) =
            text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
        uid = id(user)?;
        gid = group.map_or(Ok(gid), id)?;
    }
    let mut groups = old.additional_gids().clone().unwrap_or_default();
    groups.extend(&options.additional_gids);
    let mut user = UserBuilder::default().uid(uid).gid(gid).additional_gids(groups);
    if let Some(umask) = old.umask() {
        user = user.umask(umask);
    }
    process.set_user(user.build().map_err(|error| wrong("user", &error.to_string()))?);
    Ok(())
}

/// A number and nothing else: a name or an overflow must not become root.
fn id(text: &str) -> Result<u32, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse::<u32>().ok()).flatten().filter(|number| *number <= MAX_ID);
    number.ok_or_else(|| wrong("user", &format!("{text:?} is no user or group id")))
}

fn wrong(field: &str, reason: &str) -> Error {
    Error::Config { field: field.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn ids_are_numbers_in_range() {
        assert_eq!(id("0").expect("zero"), 0);
        assert_eq!(id("1000").expect("number"), 1000);
        for text in ["", "root", "+1", "-1", "0x0", "4294967296", "2147483648", " 1"] {
            assert!(id(text).is_err(), "{text:?}");
        }
    }
}
