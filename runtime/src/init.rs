//! The first process of a container, from the clone to the user's program.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use oci_spec::runtime::Spec;

use crate::Error;
use crate::channel::{Channel, Failure, Report};
use crate::hooks::{self, Point};
use crate::namespaces::{Namespaces, file_name, flag};
use crate::process::{Identity, Prepared, Streams};
use crate::request::Stdio;
use crate::rootfs::{self, CgroupView, Rootfs};
use crate::sys::fs::{openat2, resolve};
use crate::sys::process as call;
use crate::sysctl;

/// The FIFO in the container's state directory on which its first process waits for `start`.
pub(crate) const FIFO: &str = "exec.fifo";

/// Everything the first process needs, made ready by its parent.
pub(crate) struct Init<'a> {
    pub(crate) spec: &'a Spec,
    /// What is left to join.
    pub(crate) namespaces: Namespaces,
    /// Whether it was cloned in a user namespace that is not the caller's.
    pub(crate) in_user_namespace: bool,
    pub(crate) process: Prepared,
    pub(crate) own_binary: Identity,
    pub(crate) rootfs: Rootfs<'a>,
    pub(crate) cgroup: CgroupView,
    pub(crate) stdio: Stdio,
    pub(crate) terminal_size: Option<(u16, u16)>,
    /// The host's procfs, verified.
    pub(crate) proc: OwnedFd,
    /// The state directory, O_PATH, for its FIFO.
    pub(crate) state_directory: OwnedFd,
    /// Whether the parent has something to do before the cgroup is final: a user namespace's maps, v1 cgroups, systemd.
    pub(crate) waits_for_parent: bool,
    /// The container's state for hooks, without its pid.
    pub(crate) state: HookState<'a>,
}

/// The state that hooks are told.
pub(crate) struct HookState<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) id: &'a str,
    pub(crate) bundle: &'a std::path::Path,
}

impl HookState<'_> {
    /// runtime-spec, runtime "State".
    pub(crate) fn json(&self, status: &str, pid: i32) -> String {
        let mut state = serde_json::json!({
            "ociVersion": self.spec.version(), "id": self.id, "status": status, "bundle": self.bundle,
            "annotations": self.spec.annotations().clone().unwrap_or_default(),
        });
        // A container without a process has no pid.
        if pid > 0 {
            state["pid"] = pid.into();
        }
        state.to_string()
    }
}

impl Init<'_> {
    /// Runs in the child; returns only when something failed.
    pub(crate) fn run(self, channel: &Channel) -> Result<Infallible, Error> {
        call::prctl(libc::PR_SET_DUMPABLE, 0, 0)
            .map_err(|error| Error::setup("prctl(PR_SET_DUMPABLE)", error))?;
        call::reset_signals().map_err(|error| Error::setup("reset the signals", error))?;
        nix::unistd::setsid().map_err(|error| Error::setup("setsid", error))?;
        if self.waits_for_parent {
            channel.wait_for_answer().map_err(|error| Error::setup("wait for the runtime", error))?;
        }
        if self.in_user_namespace {
            become_root()?;
        }
        self.enter_namespaces()?;
        self.name_host()?;
        let mut slave = None;
        let wants_terminal = matches!(self.stdio, Stdio::Terminal);
        let size = self.terminal_size;
        self.rootfs.build(&self.cgroup, self.process.cwd(), |root| {
            if wants_terminal {
                let (master, end) = rootfs::open_terminal(root.as_fd(), size)?;
                rootfs::bind_console(root, &end)?;
                report(channel, &Report::Terminal(master))?;
                slave = Some(end);
            }
            Ok(())
        })?;
        self.run_hooks_before_pivot(channel)?;
        self.rootfs.enter()?;
        if let Some(parameters) = self.spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref()) {
            sysctl::write(self.proc.as_fd(), parameters)?;
        }
        self.become_program(channel, slave)
    }

    fn enter_namespaces(&self) -> Result<(), Error> {
        for join in &self.namespaces.join {
            call::setns(&join.fd, join.flag).map_err(|error| {
                Error::setup(format!("join the {} namespace", file_name(join.flag)), error)
            })?;
        }
        let late = self.namespaces.new & (flag::CGROUP | flag::TIME);
        if late != 0 {
            call::unshare(late)
                .map_err(|error| Error::setup("unshare the cgroup and time namespaces", error))?;
        }
        self.set_time_offsets()
    }

    /// The offsets of the new time namespace, which execve(2) enters, time_namespaces(7).
    fn set_time_offsets(&self) -> Result<(), Error> {
        let offsets = self.spec.linux().as_ref().and_then(|linux| linux.time_offsets().as_ref());
        let Some(offsets) = offsets.filter(|offsets| !offsets.is_empty()) else { return Ok(()) };
        let set = || -> std::io::Result<()> {
            let rules = resolve::BENEATH | resolve::NO_MAGICLINKS | resolve::NO_XDEV;
            let file = openat2(self.proc.as_fd(), c"self/timens_offsets", libc::O_WRONLY, rules)?;
            let lines: String = offsets
                .iter()
                .map(|(clock, offset)| {
                    format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
                })
                .collect();
            File::from(file).write_all(lines.as_bytes())
        };
        set().map_err(|error| Error::setup("linux.timeOffsets", error))
    }

    fn name_host(&self) -> Result<(), Error> {
        if let Some(name) = self.spec.hostname().as_deref().filter(|name| !name.is_empty()) {
            nix::unistd::sethostname(name)
                .map_err(|error| Error::setup(format!("set hostname {name}"), error))?;
        }
        if let Some(name) = self.spec.domainname().as_deref().filter(|name| !name.is_empty()) {
            // SAFETY: the pointer and the length are those of one string.
            crate::sys::check(unsafe { libc::syscall(libc::SYS_setdomainname, name.as_ptr(), name.len()) })
                .map_err(|error| Error::setup(format!("set domainname {name}"), error))?;
        }
        Ok(())
    }

    fn run_hooks_before_pivot(&self, channel: &Channel) -> Result<(), Error> {
        let hooks = self.spec.hooks().as_ref();
        if needs_parent(self.spec) {
            report(channel, &Report::Mounted)?;
            channel.wait_for_answer().map_err(|error| Error::setup("wait for the hooks", error))?;
        }
        if !Point::CreateContainer.of(hooks).is_empty() {
            // SAFETY: getpid has no arguments; it is the pid in the container's namespace.
            let pid = unsafe { libc::getpid() };
            hooks::run(hooks, Point::CreateContainer, &self.state.json("creating", pid))?;
        }
        Ok(())
    }

    fn become_program(self, channel: &Channel, slave: Option<OwnedFd>) -> Result<Infallible, Error> {
        let streams = streams(self.stdio, slave);
        let program = self.process.become_user(self.own_binary, self.proc, streams, |listener| {
            report(channel, &Report::Listener(listener.as_raw_fd()))?;
            channel.wait_for_answer().map_err(|error| Error::setup("hand over the seccomp listener", error))
        })?;
        report(channel, &Report::Ready)?;
        // Blocks until `start` opens the other end. A failure from here on goes to `start`, by the FIFO.
        let path = crate::sys::c_str(FIFO).map_err(|error| Error::setup("name the FIFO", error))?;
        let fifo = nix::fcntl::openat(
            &self.state_directory,
            path.as_c_str(),
            nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_CLOEXEC,
            nix::sys::stat::Mode::empty(),
        );
        let Ok(fifo) = fifo else {
            return Err(Error::setup("open exec.fifo", std::io::Error::last_os_error()));
        };
        let hooks = self.spec.hooks().as_ref();
        let started = if Point::StartContainer.of(hooks).is_empty() {
            Ok(())
        } else {
            // SAFETY: as above.
            let pid = unsafe { libc::getpid() };
            hooks::run(hooks, Point::StartContainer, &self.state.json("created", pid))
        };
        let Err(error) = started.and_then(|()| program.execute());
        // `start` may have gone; the exit code tells the rest.
        let _ = nix::unistd::write(&fifo, &Failure::of(error).encode());
        // SAFETY: ends this process without running the caller's exit handlers a second time.
        unsafe { libc::_exit(EXEC_FAILED) }
    }
}

/// The exit code of a container whose program execve(2) refused.
const EXEC_FAILED: i32 = 255;

/// Whether the parent has hooks to run between the mounts and the pivot.
pub(crate) fn needs_parent(spec: &Spec) -> bool {
    let hooks = spec.hooks().as_ref();
    [Point::Prestart, Point::CreateRuntime].iter().any(|point| !point.of(hooks).is_empty())
}

/// The ids of a user namespace's root; its maps are written by now.
pub(crate) fn become_root() -> Result<(), Error> {
    call::setgid(0)
        .map_err(|error| Error::setup("linux.gidMappings: become root of the user namespace", error))?;
    call::setuid(0)
        .map_err(|error| Error::setup("linux.uidMappings: become root of the user namespace", error))
}

pub(crate) fn report(channel: &Channel, report: &Report) -> Result<(), Error> {
    channel.report(report).map_err(|error| Error::setup("report to the runtime", error))
}

pub(crate) fn streams(stdio: Stdio, slave: Option<OwnedFd>) -> Streams {
    match (stdio, slave) {
        (Stdio::Fds { stdin, stdout, stderr }, _) => Streams::Fds([stdin, stdout, stderr]),
        (_, Some(slave)) => Streams::Terminal(slave),
        _ => Streams::Inherit,
    }
}
