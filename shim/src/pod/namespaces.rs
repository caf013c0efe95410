//! The pod's network, IPC and UTS namespaces. The shim lives in them, and bundles name them by
//! `/proc/<shim>/ns/…`, so they exist exactly as long as the shim.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::sethostname;

use super::PodError;
use crate::options::Options;

/// Enters or makes the namespaces that `options` ask for, and sets their host name and sysctls.
pub(crate) fn enter(options: &Options) -> Result<(), PodError> {
    if let Some(path) = &options.netns {
        let failed =
            |source: io::Error| PodError::new(format!("network namespace {}", path.display()), source);
        let netns = File::open(path).map_err(failed)?;
        setns(&netns, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
    }
    let mut own = CloneFlags::empty();
    own.set(CloneFlags::CLONE_NEWIPC, !options.host_ipc);
    own.set(CloneFlags::CLONE_NEWUTS, !options.host_uts);
    unshare(own).map_err(|errno| PodError::new("make the pod's namespaces", errno))?;
    if let Some(name) = &options.hostname {
        if options.host_uts {
            return Err(PodError::new(
                format!("host name {name}"),
                refused("the pod is in the host's UTS namespace"),
            ));
        }
        sethostname(name).map_err(|errno| PodError::new(format!("host name {name}"), errno))?;
    }
    options.sysctls.iter().try_for_each(|(key, value)| set_sysctl(options, key, value))
}

/// Writes one sysctl, if it is one of a namespace that is the pod's own: any other would change the host.
fn set_sysctl(options: &Options, key: &str, value: &str) -> Result<(), PodError> {
    let failed = |source| PodError::new(format!("sysctl {key}={value}"), source);
    // sysctl(8) takes both separators; where the first is a slash, dots are part of names (interfaces).
    let path = match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => key.to_owned(),
        _ => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
    };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(failed(refused("not the name of a setting")));
    }
    match namespace_of(&path) {
        Some(CloneFlags::CLONE_NEWNET) if options.netns.is_some() => {}
        Some(CloneFlags::CLONE_NEWIPC) if !options.host_ipc => {}
        Some(CloneFlags::CLONE_NEWUTS) if !options.host_uts => {}
        Some(_) => {
            return Err(failed(refused("the pod is in the host's namespace of this setting")));
        }
        None => return Err(failed(refused("not a setting of a namespace"))),
    }
    fs::write(PathBuf::from("/proc/sys").join(&path), value).map_err(failed)
}

/// The namespace that a sysctl belongs to, after namespaces(7) and Docker's list.
fn namespace_of(path: &str) -> Option<CloneFlags> {
    let ipc = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    if path.starts_with("net/") {
        Some(CloneFlags::CLONE_NEWNET)
    } else if path.starts_with("fs/mqueue/") || ipc.contains(&path) {
        Some(CloneFlags::CLONE_NEWIPC)
    } else if path == "kernel/domainname" {
        Some(CloneFlags::CLONE_NEWUTS)
    } else {
        None
    }
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_host_are_refused_before_they_are_touched() {
        let own = Options { netns: Some("/n".into()), ..Options::default() };
        let host = Options { host_ipc: true, host_uts: true, ..Options::default() };
        let cases = [
            (&own, "kernel.panic", "not a setting of a namespace"),
            (&own, "vm.swappiness", "not a setting of a namespace"),
            (&own, "net/../kernel/panic", "not the name of a setting"),
            (&host, "net.core.somaxconn", "the pod is in the host's namespace of this setting"),
            (&host, "kernel.shmmax", "the pod is in the host's namespace of this setting"),
        ];
        for (options, key, reason) in cases {
            let error = set_sysctl(options, key, "1").err().map(|error| error.to_string());
            assert_eq!(error, Some(format!("sysctl {key}=1: {reason}")));
        }
    }
}
