//! `create`: from a bundle to a process that waits for `start`.

use std::ffi::CString;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use oci_spec::runtime::{LinuxIdMapping, LinuxPersonalityDomain, Process, Spec};

use super::record::{self, Record, write_whole};
use super::{Container, listener};
use crate::cgroup::{Cgroup, Mounts};
use crate::channel::Report;
use crate::hooks::{self, Point};
use crate::init::{self, HookState, Init};
use crate::launch::{Child, Launch};
use crate::namespaces::{Namespaces, flag};
use crate::process::{Identity, Prepared, Surroundings, set_limits};
use crate::request::Stdio;
use crate::rootfs::{CgroupView, Given, Rootfs};
use crate::sys::fs::{PROC_MAGIC, magic, stat};
use crate::verify::Expected;
use crate::{CreateRequest, Error, Started, spec};

pub(super) fn create(req: CreateRequest<'_>) -> Result<(Container, Started), Error> {
    record::check_id(req.id)?;
    let bundle =
        std::fs::canonicalize(req.bundle).map_err(|error| Error::file("open bundle", req.bundle, error))?;
    let mut req = req;
    let config = match req.spec.take() {
        Some(config) => config,
        None => spec::read(&bundle.join(spec::CONFIG))?,
    };
    let mounts = Mounts::detect()?;
    let list = config.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let namespaces = Namespaces::open(list)?;
    spec::spec(&config, &namespaces, mounts.unified)?;
    check_preserved(req.preserve_fds)?;
    check_terminal(config.process().as_ref(), &req.stdio, req.console_socket)?;
    let asked = config.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let cgroup = mounts.place(asked, req.id, req.systemd_cgroup)?;
    let directory = record::make_directory(req.root, req.id)?;
    // Not `undo`: that would kill the processes in a cgroup that is not ours.
    cgroup.check_free().inspect_err(|_| drop(std::fs::remove_dir(&directory)))?;
    let mut making = Making {
        container: Container { directory, record: new_record(&req, &config, bundle, &namespaces, cgroup) },
        child: None,
    };
    match making.go(req, &config, namespaces) {
        Ok(started) => Ok((making.container, started)),
        Err(error) => {
            making.undo();
            Err(error)
        }
    }
}

fn new_record(
    req: &CreateRequest<'_>,
    config: &Spec,
    bundle: PathBuf,
    namespaces: &Namespaces,
    cgroup: Cgroup,
) -> Record {
    let joined = namespaces.join.iter().fold(0, |flags, join| flags | join.flag);
    let rootfs = config.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    Record {
        oci_version: config.version().clone(),
        id: req.id.to_owned(),
        pid: 0,
        start_time: 0,
        complete: false,
        bundle,
        rootfs,
        created: record::now(),
        owner: nix::unistd::geteuid().as_raw(),
        annotations: config.annotations().clone().unwrap_or_default(),
        namespaces: namespaces.new | joined,
        new_keyring: !req.no_new_keyring,
        cgroup,
    }
}

/// A container that is being made, and what of it is there to be undone.
struct Making {
    container: Container,
    child: Option<Child>,
}

impl Making {
    fn go(
        &mut self,
        req: CreateRequest<'_>,
        config: &Spec,
        mut namespaces: Namespaces,
    ) -> Result<Started, Error> {
        let directory = self.container.directory.clone();
        let record = &mut self.container.record;
        let bundle = record.bundle.clone();
        let config_copy = directory.join(spec::CONFIG);
        let json =
            serde_json::to_vec(config).map_err(|source| Error::Json { path: config_copy.clone(), source })?;
        write_whole(&config_copy, &json)?;
        // Before the deed, so that what a crash leaves behind can be deleted.
        record.write(&directory)?;
        let fifo = make_fifo(&directory)?;

        let linux = config.linux().as_ref();
        let Some(process) = config.process() else { return Err(Error::config("process", "is missing")) };
        let mut prepared = Prepared::new(process, &surroundings(&req, config))?;
        prepared.forget_affinity();
        let listener = listener::target(config, &prepared)?;
        let given = Given { bundle: &bundle, tree: req.rootfs, spare: &directory, no_pivot: req.no_pivot };
        let rootfs = Rootfs::prepare(config, record.namespaces, given)?;
        record.cgroup.make()?;
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let by_systemd = record.cgroup.systemd.is_some();
        if !by_systemd {
            record.cgroup.limit(resources)?;
        }
        let birthplace = record.cgroup.birthplace()?;
        let born = birthplace.is_some();

        let proc = host_proc()?;
        let expected = Expected::note(proc.as_fd(), &namespaces, prepared.confinement())?;
        let new_user = namespaces.new & flag::USER != 0;
        let user = namespaces.take_user();
        let waits_for_parent = new_user || !born;
        let launch = Launch {
            namespaces: namespaces.at_clone(),
            visit: namespaces.take_before_clone(),
            cgroup: birthplace,
            user,
        };
        let terminal_size = size_of_terminal(process);
        let init = Init {
            spec: config,
            in_user_namespace: new_user || launch.user.is_some(),
            process: prepared,
            own_binary: Identity::own_binary()
                .map_err(|error| Error::file("stat", "/proc/self/exe", error))?,
            rootfs,
            cgroup: CgroupView {
                cgroup: record.cgroup.clone(),
                namespace: record.namespaces & flag::CGROUP != 0,
            },
            stdio: req.stdio,
            terminal_size,
            proc,
            state_directory: fifo,
            waits_for_parent,
            state: HookState { spec: config, id: req.id, bundle: &bundle },
            namespaces,
        };
        let child = launch.start(|channel| init.run(channel))?;
        record.pid = child.pid;
        record.start_time = record::start_time(child.pid).unwrap_or(0);
        let child = self.child.insert(child);

        if new_user {
            let (uids, gids) =
                linux.map_or((None, None), |l| (l.uid_mappings().as_ref(), l.gid_mappings().as_ref()));
            write_map(child.pid, "uid_map", uids.map_or(&[], Vec::as_slice))?;
            write_map(child.pid, "gid_map", gids.map_or(&[], Vec::as_slice))?;
        }
        record.cgroup.attach(child.pid, born)?;
        if by_systemd {
            record.cgroup.limit(resources)?;
        }
        set_limits(child.pid, process.rlimits().as_deref().unwrap_or_default())?;
        if let Some(score) = process.oom_score_adj() {
            set_oom_score(child.pid, score)?;
        }
        if waits_for_parent {
            child.answer()?;
        }
        let state = HookState { spec: config, id: req.id, bundle: &bundle };
        let terminal = self.converse(config, &state, listener.as_ref())?;
        let record = &self.container.record;
        expected.check(host_proc()?.as_fd(), record.pid, &record.cgroup)?;
        let terminal = deliver_terminal(terminal, req.console_socket)?;
        self.container.record.complete = true;
        self.container.record.write(&directory)?;
        let child = self.child.take().ok_or_else(|| Error::config("process", "is missing"))?;
        if let Some(path) = req.pid_file {
            write_whole(path, child.pid.to_string().as_bytes())?;
        }
        Ok(Started { pid: child.pid, pidfd: child.pidfd, terminal })
    }

    /// Answers the child's requests until it is ready.
    fn converse(
        &mut self,
        config: &Spec,
        state: &HookState<'_>,
        listener: Option<&listener::Target>,
    ) -> Result<Option<OwnedFd>, Error> {
        let Some(child) = &self.child else { return Ok(None) };
        let mut terminal = None;
        loop {
            match child.next("create")? {
                Report::Ready => return Ok(terminal),
                Report::Terminal(master) => terminal = Some(master),
                Report::Mounted => {
                    self.container.record.write(&self.container.directory)?;
                    let json = state.json("creating", child.pid);
                    hooks::run(config.hooks().as_ref(), Point::Prestart, &json)?;
                    hooks::run(config.hooks().as_ref(), Point::CreateRuntime, &json)?;
                    child.answer()?;
                }
                Report::Listener(number) => {
                    let fd = child.descriptor(number)?;
                    if let Some(target) = listener {
                        target.send(fd, &state.json("creating", child.pid), child.pid)?;
                    }
                    child.answer()?;
                }
                Report::Failed(failure) => return Err(failure.into_error()),
            }
        }
    }

    /// Takes back what was made. The error that led here is what counts; what cannot be removed is left to `delete`.
    fn undo(self) {
        if let Some(child) = &self.child {
            child.abandon();
        }
        if self.container.record.cgroup.remove().is_ok() {
            let _ = std::fs::remove_dir_all(&self.container.directory);
        }
    }
}

fn surroundings<'a>(req: &CreateRequest<'a>, config: &'a Spec) -> Surroundings<'a> {
    let linux = config.linux().as_ref();
    Surroundings {
        seccomp: linux.and_then(|linux| linux.seccomp().as_ref()),
        capabilities: None,
        keyring: (!req.no_new_keyring).then_some(req.id),
        personality: personality(config),
        preserve_fds: req.preserve_fds,
    }
}

/// `linux.personality` as personality(2) takes it.
pub(super) fn personality(config: &Spec) -> Option<libc::c_ulong> {
    let personality = config.linux().as_ref()?.personality().as_ref()?;
    Some(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// The host's procfs, which is what all writes to /proc go through.
pub(super) fn host_proc() -> Result<OwnedFd, Error> {
    let open = || -> io::Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let proc = crate::sys::fs::openat2(nix::fcntl::AT_FDCWD, c"/proc", flags, 0)?;
        if magic(proc.as_fd())? != PROC_MAGIC || stat(proc.as_fd())?.st_ino != 1 {
            return Err(io::Error::other("is no procfs"));
        }
        Ok(proc)
    };
    open().map_err(|error| Error::file("open", "/proc", error))
}

/// The FIFO of `start`; gives the directory, by which the child opens it after it has left the host's tree.
fn make_fifo(directory: &Path) -> Result<OwnedFd, Error> {
    let path = directory.join(init::FIFO);
    nix::unistd::mkfifo(&path, Mode::S_IRUSR).map_err(|error| Error::file("make", &path, error))?;
    // The container's user opens it for writing; the root directory keeps everybody else away.
    std::fs::set_permissions(&path, Permissions::from_mode(0o622))
        .map_err(|e| Error::file("chmod", &path, e))?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let name: CString =
        crate::sys::c_path(directory).map_err(|error| Error::file("open", directory, error))?;
    crate::sys::fs::openat2(nix::fcntl::AT_FDCWD, &name, flags, 0)
        .map_err(|error| Error::file("open", directory, error))
}

fn write_map(pid: i32, name: &str, mappings: &[LinuxIdMapping]) -> Result<(), Error> {
    let line = |map: &LinuxIdMapping| format!("{} {} {}\n", map.container_id(), map.host_id(), map.size());
    let text: String = mappings.iter().map(line).collect();
    let path = format!("/proc/{pid}/{name}");
    std::fs::write(&path, text).map_err(|error| Error::file("write", &path, error))
}

/// Writes oom_score_adj, proc_pid_oom_score_adj(5). Lowering it takes CAP_SYS_RESOURCE: without, it stays where it is.
pub(super) fn set_oom_score(pid: i32, score: i32) -> Result<(), Error> {
    let path = format!("/proc/{pid}/oom_score_adj");
    match std::fs::write(&path, score.to_string()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => Ok(()),
        result => result.map_err(|error| Error::file("write", &path, error)),
    }
}

/// The descriptors that the process is to keep must be there: a hole would be filled by one of ours.
pub(super) fn check_preserved(count: u32) -> Result<(), Error> {
    for number in 3..3 + count {
        // SAFETY: F_GETFD has no arguments.
        crate::sys::check(unsafe { libc::syscall(libc::SYS_fcntl, number, libc::F_GETFD) })
            .map_err(|error| Error::setup(format!("preserve descriptor {number}"), error))?;
    }
    Ok(())
}

/// A terminal is asked for by the configuration and by the caller, or by neither.
pub(super) fn check_terminal(
    process: Option<&Process>,
    stdio: &Stdio,
    console_socket: Option<&Path>,
) -> Result<(), Error> {
    let wanted = process.is_some_and(|process| process.terminal().unwrap_or(false));
    match (wanted, matches!(stdio, Stdio::Terminal)) {
        (true, false) => Err(Error::config(
            "process.terminal",
            "cannot allocate tty if it will detach without setting console socket",
        )),
        (false, true) => Err(Error::config("process.terminal", "is false, but a terminal is asked for")),
        (false, false) if console_socket.is_some() => {
            Err(Error::config("process.terminal", "cannot use console socket if it will not allocate tty"))
        }
        _ => Ok(()),
    }
}

pub(super) fn size_of_terminal(process: &Process) -> Option<(u16, u16)> {
    let size = process.console_size()?;
    Some((u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?))
}

/// Sends the terminal's master to the console socket, where one is named: a message with the descriptor, as runc.
pub(super) fn deliver_terminal(
    master: Option<OwnedFd>,
    socket: Option<&Path>,
) -> Result<Option<OwnedFd>, Error> {
    let (Some(master), Some(path)) = (&master, socket) else { return Ok(master) };
    listener::send_descriptor(path, b"/dev/ptmx", master)
        .map_err(|error| Error::file("send the terminal to", path, error))?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_procfs_is_recognised() {
        host_proc().expect("proc");
    }

    #[test]
    fn a_terminal_needs_both_sides() {
        let mut process = Process::default();
        process.set_terminal(Some(true));
        assert!(check_terminal(Some(&process), &Stdio::Inherit, None).is_err());
        assert!(check_terminal(Some(&process), &Stdio::Terminal, None).is_ok());
        process.set_terminal(Some(false));
        assert!(check_terminal(Some(&process), &Stdio::Terminal, None).is_err());
        assert!(check_terminal(Some(&process), &Stdio::Inherit, Some(Path::new("/x"))).is_err());
    }
}
