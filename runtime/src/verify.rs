//! Asks the kernel what became of a container's first process, before the user's program may run.
//!
//! The process waits for `start` with everything given up that it will give up, so that nothing changes while it is
//! looked at. Whatever the steps before returned, a process that is not confined as asked is not let go.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::namespaces::{Namespaces, file_name, flag};
use crate::process::{Confinement, may_trace};
use crate::sys::c_str;
use crate::sys::fs::{openat2, read_from, resolve, stat};

/// All kinds, but the mount namespace's file is `mnt` and so on: see `file_name`.
const KINDS: [u64; 8] =
    [flag::MOUNT, flag::CGROUP, flag::UTS, flag::IPC, flag::USER, flag::PID, flag::NET, flag::TIME];

/// What a namespace has to be.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// This one, as its file's link names it: joined, or the caller's own.
    Same(String),
    /// Any but this one, the caller's own.
    Other(String),
}

/// What the container was asked to be, noted down before its process is made.
pub(crate) struct Expected {
    /// The file below `ns` and what it has to be.
    namespaces: Vec<(&'static str, Wanted)>,
    confinement: Confinement,
    /// The filters that the process inherits from the caller.
    filters: u64,
}

impl Expected {
    /// `proc` is the host's procfs, verified.
    pub(crate) fn note(
        proc: BorrowedFd<'_>,
        namespaces: &Namespaces,
        confinement: Confinement,
    ) -> Result<Expected, Error> {
        let mut expected = Expected { namespaces: Vec::new(), confinement, filters: 0 };
        for kind in KINDS {
            let (name, file) = (file_name(kind), file_of(kind));
            let own = match link(proc, "self", file) {
                // A kernel without namespaces of this kind.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
                result => result.map_err(|error| failed("self", file, error))?,
            };
            let wanted = match namespaces.join.iter().find(|join| join.flag == kind) {
                Some(join) => {
                    let inode = stat(join.fd.as_fd()).map_err(|error| failed("self", file, error))?.st_ino;
                    Wanted::Same(format!("{name}:[{inode}]"))
                }
                None if namespaces.new & kind != 0 => Wanted::Other(own),
                None => Wanted::Same(own),
            };
            expected.namespaces.push((file, wanted));
        }
        let status = status(proc, "self")?;
        expected.filters = number(&status, "Seccomp_filters", 10).unwrap_or(0);
        Ok(expected)
    }

    /// Compares process `pid` with what was asked.
    pub(crate) fn check(&self, proc: BorrowedFd<'_>, pid: i32, cgroup: &Cgroup) -> Result<(), Error> {
        let process = pid.to_string();
        self.check_namespaces(proc, &process)?;
        check_cgroup(pid, cgroup)?;
        self.check_status(&status(proc, &process)?)
    }

    fn check_namespaces(&self, proc: BorrowedFd<'_>, process: &str) -> Result<(), Error> {
        for (file, wanted) in &self.namespaces {
            let found = match link(proc, process, file) {
                // The kernel shows them to those who may trace the process only: not to users without privileges.
                Err(error) if error.raw_os_error() == Some(libc::EACCES) && !may_trace() => return Ok(()),
                result => result.map_err(|error| failed(process, file, error))?,
            };
            match wanted {
                Wanted::Same(one) if *one != found => return Err(mismatch(file, one, &found)),
                Wanted::Other(own) if *own == found => return Err(mismatch(file, "a new namespace", &found)),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_status(&self, status: &str) -> Result<(), Error> {
        let wanted = &self.confinement;
        let sets = &wanted.capabilities;
        for (field, set) in [
            ("CapInh", sets.inheritable),
            ("CapPrm", sets.permitted),
            ("CapEff", sets.effective),
            ("CapAmb", sets.ambient),
        ] {
            let found = number(status, field, 16);
            if found != Some(set) {
                return Err(differs(field, &format!("{set:#x}"), found));
            }
        }
        // The caller's own bounding set may be the smaller.
        let bounding = number(status, "CapBnd", 16);
        if bounding.is_none_or(|found| found & !sets.bounding != 0) {
            return Err(differs("CapBnd", &format!("{:#x}", sets.bounding), bounding));
        }
        let no_new_privileges = number(status, "NoNewPrivs", 10);
        if wanted.no_new_privileges && no_new_privileges != Some(1) {
            return Err(differs("NoNewPrivs", "1", no_new_privileges));
        }
        if wanted.seccomp {
            /// `SECCOMP_MODE_FILTER` of linux/seccomp.h.
            const FILTER: u64 = 2;
            let mode = number(status, "Seccomp", 10);
            if mode != Some(FILTER) {
                return Err(differs("Seccomp", "2", mode));
            }
            // The mode alone may be the caller's. Kernels before 5.9 do not tell the number.
            let filters = number(status, "Seccomp_filters", 10);
            if filters.is_some_and(|found| found <= self.filters) {
                return Err(differs("Seccomp_filters", &format!("over {}", self.filters), filters));
            }
        }
        Ok(())
    }
}

/// Each hierarchy has a process in one cgroup alone: listed there, it is nowhere else.
fn check_cgroup(pid: i32, cgroup: &Cgroup) -> Result<(), Error> {
    for directory in cgroup.directories() {
        let procs = directory.join("cgroup.procs");
        let text = crate::sys::fs::read_text(&procs).map_err(|error| Error::file("read", &procs, error))?;
        if !text.lines().any(|line| line.parse() == Ok(pid)) {
            return Err(mismatch("cgroup", &directory.display().to_string(), "another"));
        }
    }
    Ok(())
}

/// A new time namespace is for what the process executes, time_namespaces(7).
fn file_of(kind: u64) -> &'static str {
    if kind == flag::TIME { "time_for_children" } else { file_name(kind) }
}

fn link(proc: BorrowedFd<'_>, process: &str, file: &str) -> io::Result<String> {
    let path = c_str(&format!("{process}/ns/{file}"))?;
    let text = nix::fcntl::readlinkat(proc, path.as_c_str())?;
    text.into_string().map_err(|_| io::Error::other("is no name of a namespace"))
}

fn status(proc: BorrowedFd<'_>, process: &str) -> Result<String, Error> {
    let read = || -> io::Result<String> {
        let path = c_str(&format!("{process}/status"))?;
        let file: OwnedFd = openat2(proc, &path, libc::O_RDONLY, resolve::NO_XDEV | resolve::NO_MAGICLINKS)?;
        read_from(file)
    };
    read().map_err(|error| Error::file("read", Path::new("/proc").join(process).join("status"), error))
}

/// A number of proc_pid_status(5).
fn number(status: &str, field: &str, radix: u32) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    u64::from_str_radix(value.trim(), radix).ok()
}

fn failed(process: &str, file: &str, error: io::Error) -> Error {
    let path: PathBuf = ["/proc", process, "ns", file].iter().collect();
    Error::file("read", path, error)
}

fn mismatch(what: &str, wanted: &str, found: &str) -> Error {
    Error::Mismatch { what: what.to_owned(), wanted: wanted.to_owned(), found: found.to_owned() }
}

fn differs(field: &str, wanted: &str, found: Option<u64>) -> Error {
    mismatch(field, wanted, &found.map_or_else(|| String::from("none"), |found| format!("{found:#x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Sets;

    const STATUS: &str = "Name:\tsh\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000021\nCapEff:\t0000000000000021\n\
        CapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\n";

    fn expected() -> Expected {
        let capabilities =
            Sets { bounding: 0x21, effective: 0x21, permitted: 0x21, inheritable: 0, ambient: 0 };
        let confinement = Confinement { capabilities, no_new_privileges: true, seccomp: true };
        Expected { namespaces: Vec::new(), confinement, filters: 0 }
    }

    #[test]
    fn each_field_of_the_status_counts() {
        expected().check_status(STATUS).expect("as asked");
        for (field, wrong) in [
            ("CapInh", "0000000000000001"),
            ("CapPrm", "0000000000000061"),
            ("CapEff", "0000000000000061"),
            ("CapBnd", "000001ffffffffff"),
            ("CapAmb", "0000000000000020"),
            ("NoNewPrivs", "0"),
            ("Seccomp", "0"),
            ("Seccomp_filters", "0"),
        ] {
            let changed = |line: &str| match line.split_once(':') {
                Some((name, _)) if name == field => format!("{name}:\t{wrong}\n"),
                _ => format!("{line}\n"),
            };
            let text: String = STATUS.lines().map(changed).collect();
            let error = expected().check_status(&text).expect_err(field).to_string();
            assert!(error.contains(field), "{error}");
            let without: String = STATUS
                .lines()
                .filter(|line| !line.starts_with(&format!("{field}:")))
                .map(|l| format!("{l}\n"))
                .collect();
            assert_eq!(expected().check_status(&without).is_ok(), field == "Seccomp_filters", "{field}");
        }
    }

    #[test]
    fn a_process_that_stayed_where_it_was_is_noticed() {
        let proc: OwnedFd = std::fs::File::open("/proc").expect("proc").into();
        let note = |new| {
            let namespaces = Namespaces { new, join: Vec::new() };
            Expected::note(proc.as_fd(), &namespaces, expected().confinement).expect("note")
        };
        note(0).check_namespaces(proc.as_fd(), "self").expect("all are the caller's");
        for kind in KINDS {
            let error = note(kind).check_namespaces(proc.as_fd(), "self").expect_err("not new").to_string();
            assert!(error.contains(file_name(kind)), "{error}");
        }
    }
}
