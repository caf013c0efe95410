//! A process on its way from a configuration to execve(2).
//!
//! [`Prepared`] is worked out by the parent, where errors are cheap; the child only carries it out (`become_user`),
//! with the order of steps in one place.

mod become_user;
mod capability;
mod lookup;
mod rlimit;
mod scheduling;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use oci_spec::runtime::{LinuxCapabilities, LinuxSeccomp, Process};

pub(crate) use become_user::Streams;
#[cfg(test)]
pub(crate) use capability::Sets;
pub(crate) use capability::may_trace;
pub(crate) use lookup::Identity;
pub(crate) use rlimit::set_limits;

use crate::Error;
use crate::seccomp::{self, Program};
use crate::sys::{c_path, c_str};

/// The search path where the configuration gives none, as in crun and Docker's images.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_UMASK: u32 = 0o022;
/// Ids above are negative for programs that use a signed type, and `(uid_t) -1` means "leave it".
const MAX_ID: u32 = i32::MAX as u32;

/// A process object made ready for the kernel.
pub(crate) struct Prepared {
    args: Vec<CString>,
    env: Vec<CString>,
    /// The search path for a bare name.
    path: String,
    has_home: bool,
    cwd: CString,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    umask: u32,
    capabilities: capability::Sets,
    no_new_privileges: bool,
    seccomp: Option<Program>,
    apparmor: Option<String>,
    /// The session keyring's name.
    keyring: Option<CString>,
    scheduling: scheduling::Scheduling,
    personality: Option<libc::c_ulong>,
    preserve_fds: u32,
}

/// What the kernel has to show of a process that was confined.
pub(crate) struct Confinement {
    pub(crate) capabilities: capability::Sets,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: bool,
}

/// What a process object leaves to the container around it.
#[derive(Default)]
pub(crate) struct Surroundings<'a> {
    pub(crate) seccomp: Option<&'a LinuxSeccomp>,
    /// Capabilities where the process names none.
    pub(crate) capabilities: Option<&'a LinuxCapabilities>,
    pub(crate) keyring: Option<&'a str>,
    pub(crate) personality: Option<libc::c_ulong>,
    pub(crate) preserve_fds: u32,
}

impl Prepared {
    pub(crate) fn new(process: &Process, around: &Surroundings<'_>) -> Result<Prepared, Error> {
        let args = strings("process.args", process.args().as_deref().unwrap_or_default())?;
        if args.first().is_none_or(|command| command.is_empty()) {
            return Err(Error::config("process.args", "must name a program"));
        }
        let env = process.env().as_deref().unwrap_or_default();
        let variable = |name: &str| {
            env.iter()
                .rev()
                .find_map(|entry| entry.split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v))
        };
        if !process.cwd().is_absolute() {
            return Err(Error::config("process.cwd", format!("{:?} is not an absolute path", process.cwd())));
        }
        let user = process.user();
        for (field, id) in [("process.user.uid", user.uid()), ("process.user.gid", user.gid())] {
            if id > MAX_ID {
                return Err(Error::config(field, format!("{id} is over {MAX_ID}")));
            }
        }
        let asked = process.capabilities().as_ref().or(around.capabilities);
        let available = capability::permitted().map_err(|error| Error::setup("capget", error))?;
        Ok(Prepared {
            args,
            env: strings("process.env", env)?,
            path: variable("PATH").unwrap_or(DEFAULT_PATH).to_owned(),
            has_home: variable("HOME").is_some(),
            cwd: c_path(process.cwd()).map_err(|_| Error::config("process.cwd", "has a NUL byte in it"))?,
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            umask: user.umask().unwrap_or(DEFAULT_UMASK),
            capabilities: capability::Sets::of(asked).limited_to(available),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            seccomp: around.seccomp.map(seccomp::compile).transpose()?,
            apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
            keyring: around.keyring.and_then(|id| c_str(&format!("_ses.{id}")).ok()),
            scheduling: scheduling::Scheduling::of(process)?,
            personality: around.personality,
            preserve_fds: around.preserve_fds,
        })
    }

    /// The directory that the process starts in.
    pub(crate) fn cwd(&self) -> &std::path::Path {
        std::path::Path::new(std::ffi::OsStr::from_bytes(self.cwd.as_bytes()))
    }

    /// How confined it is once nothing is left but its program.
    pub(crate) fn confinement(&self) -> Confinement {
        Confinement {
            capabilities: self.capabilities,
            no_new_privileges: self.no_new_privileges,
            seccomp: self.seccomp.is_some(),
        }
    }

    /// Whether its seccomp filter asks a listener.
    pub(crate) fn notifies(&self) -> bool {
        self.seccomp.as_ref().is_some_and(Program::notifies)
    }

    /// Drops `execCPUAffinity`, which is not for a container's first process.
    pub(crate) fn forget_affinity(&mut self) {
        self.scheduling.forget_affinity();
    }

    /// Pins the calling thread for the time of its entry into the container.
    pub(crate) fn pin(&self) -> std::io::Result<()> {
        self.scheduling.apply_initial()
    }

    fn command(&self) -> String {
        self.args.first().map(|command| command.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

fn strings(field: &str, texts: &[String]) -> Result<Vec<CString>, Error> {
    let convert = |(index, text): (usize, &String)| {
        c_str(text).map_err(|_| Error::config(format!("{field}[{index}]"), "has a NUL byte in it"))
    };
    texts.iter().enumerate().map(convert).collect()
}
