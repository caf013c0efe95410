//! Ending, freezing and removing a container's cgroup.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Cgroup, failed, read, write};
use crate::Error;
use crate::sys::process::{pidfd_open, pidfd_signal, wait_exit};

/// How long killed processes may take to go; a process in an uninterruptible call is the usual reason.
const PATIENCE_MS: u16 = 10_000;
/// A v1 directory can stay busy for a moment after its last process: how often and how long to look again.
const REMOVALS: u32 = 100;
const PAUSE_MS: u16 = 10;

impl Cgroup {
    /// The processes of the cgroup and of those below it.
    pub(crate) fn processes(&self) -> Result<Vec<i32>, Error> {
        let Some(directory) = self.main() else { return Ok(Vec::new()) };
        let mut pids = Vec::new();
        for directory in tree(&directory) {
            match std::fs::read_to_string(directory.join("cgroup.procs")) {
                Ok(text) => pids
                    .extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)),
                // Gone, or threaded on v2, whose processes are listed above it.
                Err(error)
                    if [libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP]
                        .map(Some)
                        .contains(&error.raw_os_error()) => {}
                Err(error) => return Err(failed(&directory, error)),
            }
        }
        Ok(pids)
    }

    /// Sends `signal` to every process of the cgroup, none of which can fork its way out meanwhile.
    pub(crate) fn signal_all(&self, signal: i32) -> Result<(), Error> {
        if signal == libc::SIGKILL && self.unified {
            for directory in self.directories() {
                let file = directory.join("cgroup.kill");
                match std::fs::write(&file, "1") {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result.map_err(|error| failed(&file, error))?,
                }
            }
            return Ok(());
        }
        let was_frozen = self.is_frozen()?;
        // Without the freezer, the rounds below still catch up with what forks.
        let frozen = self.freeze(true).is_ok();
        let mut result = Ok(());
        let mut done = HashSet::new();
        loop {
            let new: Vec<i32> = self.processes()?.into_iter().filter(|pid| done.insert(*pid)).collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                let sent = pidfd_open(pid).and_then(|pidfd| pidfd_signal(pidfd.as_fd(), signal));
                if let Err(error) = sent
                    && error.raw_os_error() != Some(libc::ESRCH)
                {
                    result = Err(Error::setup(format!("send signal {signal} to process {pid}"), error));
                }
            }
        }
        // The killed die only when thawed; other signals leave a paused container paused.
        if frozen && (!was_frozen || signal == libc::SIGKILL) {
            self.freeze(false)?;
        }
        result
    }

    /// Whether its processes are frozen.
    pub(crate) fn is_frozen(&self) -> Result<bool, Error> {
        let Some(directory) = self.controller("freezer") else { return Ok(false) };
        let (file, frozen) =
            if self.unified { ("cgroup.freeze", "1") } else { ("freezer.self_freezing", "1") };
        match std::fs::read_to_string(directory.join(file)) {
            Ok(text) => Ok(text.trim() == frozen),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(&directory.join(file), error)),
        }
    }

    /// Freezes or thaws its processes and waits until they are.
    pub(crate) fn freeze(&self, freeze: bool) -> Result<(), Error> {
        let Some(directory) = self.controller("freezer") else {
            return Err(failed(&self.path, "the controller freezer is not mounted on this system"));
        };
        if self.unified {
            write(&directory.join("cgroup.freeze"), if freeze { "1" } else { "0" })?;
            return wait_event(&directory.join("cgroup.events"), "frozen", freeze);
        }
        let file = directory.join("freezer.state");
        let wanted = if freeze { "FROZEN" } else { "THAWED" };
        // A task that forks while the freezer goes round leaves it FREEZING; asking again takes the new one too.
        for _ in 0..REMOVALS {
            write(&file, wanted)?;
            if read(&file)?.trim() == wanted {
                return Ok(());
            }
            pause();
        }
        if freeze {
            write(&file, "THAWED")?;
        }
        Err(failed(&file, format!("does not become {wanted}")))
    }

    /// Kills what is left in the cgroup and removes its directories and those below. What is gone already is fine.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        let left = self.processes()?;
        if !left.is_empty() {
            let handles: Vec<OwnedFd> = left.iter().filter_map(|pid| pidfd_open(*pid).ok()).collect();
            self.signal_all(libc::SIGKILL)?;
            for pidfd in &handles {
                let ended = wait_exit(pidfd.as_fd(), PollTimeout::from(PATIENCE_MS));
                if !ended.map_err(|error| Error::setup("wait for a killed process", error))? {
                    return Err(failed(&self.path, "its processes do not end"));
                }
            }
        }
        self.directories().try_for_each(|directory| remove_tree(&directory))
    }
}

/// Waits until `file` (cgroup.events, which poll(2) watches) has `key` as wanted.
fn wait_event(file: &Path, key: &str, wanted: bool) -> Result<(), Error> {
    let during = |error: io::Error| failed(file, error);
    let watched = File::open(file).map_err(during)?;
    let line = format!("{key} {}", u8::from(wanted));
    loop {
        if read(file)?.lines().any(|one| one == line) {
            return Ok(());
        }
        let mut fds = [PollFd::new(watched.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut fds, PollTimeout::from(PATIENCE_MS)) {
            Ok(0) => return Err(failed(file, format!("does not say {line:?}"))),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {
                // Reading arms the next notification.
                let mut text = String::new();
                io::Read::read_to_string(&mut &watched, &mut text).map_err(during)?;
            }
            Err(error) => return Err(during(error.into())),
        }
    }
}

/// `directory` and all directories below it, the deepest last.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut next = 0;
    while let Some(current) = found.get(next).cloned() {
        next += 1;
        let Ok(entries) = std::fs::read_dir(&current) else { continue };
        let is_directory = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        found.extend(entries.flatten().filter(is_directory).map(|entry| entry.path()));
    }
    found
}

fn remove_tree(directory: &Path) -> Result<(), Error> {
    // Most containers make no cgroups of their own.
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    for directory in tree(directory).iter().rev() {
        let mut attempts = 0;
        loop {
            match std::fs::remove_dir(directory) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempts < REMOVALS => {
                    attempts += 1;
                    pause();
                }
                Err(error) => return Err(failed(directory, format!("remove the directory: {error}"))),
            }
        }
    }
    Ok(())
}

fn pause() {
    // Nothing tells when a v1 cgroup is free, so that there is only the clock.
    let _ = poll(&mut [], PollTimeout::from(PAUSE_MS));
}
