//! `exec`: a further process in a container.

use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::LinuxCapabilities;

use super::create::{
    check_preserved, check_terminal, deliver_terminal, host_proc, personality, set_oom_score,
    size_of_terminal,
};
use super::record::write_whole;
use super::{Container, Status, listener};
use crate::channel::{Channel, Report};
use crate::init::{HookState, become_root, report, streams};
use crate::launch::{Child, Launch};
use crate::namespaces::{Join, flag};
use crate::process::{Identity, Prepared, Surroundings, set_limits};
use crate::request::Stdio;
use crate::rootfs::open_terminal;
use crate::sys::process as call;
use crate::{Error, ExecRequest, Started, spec};

/// All that setns(2) takes at once; the user namespace is added where it is another than ours.
const NAMESPACES: u64 = flag::MOUNT | flag::CGROUP | flag::UTS | flag::IPC | flag::NET;

/// What the child needs.
struct Entry {
    /// The container's first process.
    target: OwnedFd,
    namespaces: u64,
    process: Prepared,
    own_binary: Identity,
    stdio: Stdio,
    terminal_size: Option<(u16, u16)>,
    proc: OwnedFd,
}

pub(super) fn exec(container: &Container, req: ExecRequest<'_>) -> Result<Started, Error> {
    match container.status()? {
        Status::Paused if !req.ignore_paused => return Err(container.wrong_state("exec")),
        Status::Stopped | Status::Creating => return Err(container.wrong_state("exec")),
        _ => {}
    }
    let Some(target) = container.pidfd()? else { return Err(container.wrong_state("exec")) };
    spec::process(req.process)?;
    check_preserved(req.preserve_fds)?;
    check_terminal(Some(req.process), &req.stdio, req.console_socket)?;
    let config = container.spec()?;
    let own: Option<LinuxCapabilities> =
        config.process().as_ref().and_then(|process| process.capabilities().clone());
    let record = &container.record;
    let process = Prepared::new(
        req.process,
        &Surroundings {
            seccomp: config.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()),
            capabilities: own.as_ref(),
            keyring: record.new_keyring.then_some(container.id()),
            personality: personality(&config),
            preserve_fds: req.preserve_fds,
        },
    )?;
    let listener = listener::target(&config, &process)?;
    let sub = req.cgroup.unwrap_or(Path::new(""));
    let birthplace = if sub.as_os_str().is_empty() { record.cgroup.birthplace()? } else { None };
    let born = birthplace.is_some();
    let to_join = Join { flag: flag::PID, fd: clone_of(&target)? };
    let launch = Launch { namespaces: 0, visit: vec![to_join], user: None, cgroup: birthplace };
    let entry = Entry {
        namespaces: NAMESPACES | record.namespaces & (flag::USER | flag::TIME),
        target,
        process,
        own_binary: Identity::own_binary().map_err(|error| Error::file("stat", "/proc/self/exe", error))?,
        stdio: req.stdio,
        terminal_size: size_of_terminal(req.process),
        proc: host_proc()?,
    };
    let child = launch.start(|channel| entry.run(channel))?;
    let prepare = || -> Result<Option<OwnedFd>, Error> {
        record.cgroup.attach_below(child.pid, sub, born)?;
        set_limits(child.pid, req.process.rlimits().as_deref().unwrap_or_default())?;
        if let Some(score) = req.process.oom_score_adj() {
            set_oom_score(child.pid, score)?;
        }
        child.answer()?;
        let state = HookState { spec: &config, id: container.id(), bundle: container.bundle() };
        let terminal = converse(&child, listener.as_ref(), &state, container.pid())?;
        let terminal = deliver_terminal(terminal, req.console_socket)?;
        if let Some(path) = req.pid_file {
            write_whole(path, child.pid.to_string().as_bytes())?;
        }
        Ok(terminal)
    };
    match prepare() {
        Ok(terminal) => Ok(Started { pid: child.pid, pidfd: child.pidfd, terminal }),
        Err(error) => {
            child.abandon();
            Err(error)
        }
    }
}

fn clone_of(fd: &OwnedFd) -> Result<OwnedFd, Error> {
    fd.try_clone().map_err(|error| Error::setup("duplicate a descriptor", error))
}

/// Answers the child until execve(2) closes the channel.
fn converse(
    child: &Child,
    listener: Option<&listener::Target>,
    state: &HookState<'_>,
    container_pid: i32,
) -> Result<Option<OwnedFd>, Error> {
    let mut terminal = None;
    loop {
        match child.next("exec")? {
            Report::Terminal(master) => terminal = Some(master),
            Report::Listener(number) => {
                let fd = child.descriptor(number)?;
                if let Some(target) = listener {
                    target.send(fd, &state.json("running", container_pid), child.pid)?;
                }
                child.answer()?;
            }
            Report::Ready => break,
            Report::Mounted => {}
            Report::Failed(failure) => return Err(failure.into_error()),
        }
    }
    // After Ready there is nothing but execve: its failure, or the end of the channel.
    match child.channel.next().map_err(|error| Error::setup("read the process' report", error))? {
        Some(Report::Failed(failure)) => Err(failure.into_error()),
        _ => Ok(terminal),
    }
}

impl Entry {
    fn run(self, channel: &Channel) -> Result<Infallible, Error> {
        // Before the namespaces are joined: from then on the container's processes see this one.
        call::prctl(libc::PR_SET_DUMPABLE, 0, 0)
            .map_err(|error| Error::setup("prctl(PR_SET_DUMPABLE)", error))?;
        call::reset_signals().map_err(|error| Error::setup("reset the signals", error))?;
        nix::unistd::setsid().map_err(|error| Error::setup("setsid", error))?;
        self.process.pin().map_err(|error| Error::setup("process.execCPUAffinity.initial", error))?;
        channel.wait_for_answer().map_err(|error| Error::setup("wait for the runtime", error))?;
        call::setns(&self.target, self.namespaces)
            .map_err(|error| Error::setup("join the container's namespaces", error))?;
        drop(self.target);
        if self.namespaces & flag::USER != 0 {
            become_root()?;
        }
        let mut slave = None;
        if matches!(self.stdio, Stdio::Terminal) {
            let root = std::fs::File::open("/").map_err(|error| Error::file("open", "/", error))?;
            let (master, end) = open_terminal(root.as_fd(), self.terminal_size)?;
            report(channel, &Report::Terminal(master))?;
            slave = Some(end);
        }
        let streams = streams(self.stdio, slave);
        let program = self.process.become_user(self.own_binary, self.proc, streams, |listener| {
            report(channel, &Report::Listener(listener.as_raw_fd()))?;
            channel.wait_for_answer().map_err(|error| Error::setup("hand over the seccomp listener", error))
        })?;
        report(channel, &Report::Ready)?;
        program.execute()
    }
}
