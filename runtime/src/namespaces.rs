//! The namespaces of a container: which are made, which are joined, and by whom.

use std::fs::File;
use std::os::fd::OwnedFd;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use crate::Error;
use crate::sys::process::setns;

/// `CLONE_NEW*` of linux/sched.h.
pub(crate) mod flag {
    pub(crate) const TIME: u64 = 0x80;
    pub(crate) const MOUNT: u64 = 0x2_0000;
    pub(crate) const CGROUP: u64 = 0x200_0000;
    pub(crate) const UTS: u64 = 0x400_0000;
    pub(crate) const IPC: u64 = 0x800_0000;
    pub(crate) const USER: u64 = 0x1000_0000;
    pub(crate) const PID: u64 = 0x2000_0000;
    pub(crate) const NET: u64 = 0x4000_0000;
}

/// Namespaces that exist already and are joined by their files.
pub(crate) struct Join {
    pub(crate) flag: u64,
    pub(crate) fd: OwnedFd,
}

/// `linux.namespaces`, with the files of those to join open.
pub(crate) struct Namespaces {
    /// New ones, as flags.
    pub(crate) new: u64,
    /// Those to join.
    pub(crate) join: Vec<Join>,
}

impl Namespaces {
    pub(crate) fn open(list: &[LinuxNamespace]) -> Result<Namespaces, Error> {
        let mut namespaces = Namespaces { new: 0, join: Vec::new() };
        for (index, namespace) in list.iter().enumerate() {
            let field = format!("linux.namespaces[{index}]");
            let flag = flag_of(namespace.typ());
            if namespaces.has(flag) {
                return Err(Error::config(field, format!("namespace {} is named twice", namespace.typ())));
            }
            match namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
                None => namespaces.new |= flag,
                Some(path) => {
                    let file = File::open(path).map_err(|error| {
                        Error::config(format!("{field}.path"), format!("open {}: {error}", path.display()))
                    })?;
                    namespaces.join.push(Join { flag, fd: file.into() });
                }
            }
        }
        Ok(namespaces)
    }

    /// Whether the container has a namespace of this kind to itself or by path.
    pub(crate) fn has(&self, flag: u64) -> bool {
        self.new & flag != 0 || self.join.iter().any(|join| join.flag == flag)
    }

    /// The namespaces for clone3. The cgroup and time namespaces come later: the first must see the container's
    /// cgroup as its root, the second takes its offsets while it is still empty.
    pub(crate) fn at_clone(&self) -> u64 {
        self.new & !(flag::CGROUP | flag::TIME)
    }

    /// Takes out the joins that the process which clones must make itself: that of the PID namespace, which holds for
    /// children only, and with a new user namespace all but the mount namespace, since from inside the new one there
    /// is no right to the host's.
    pub(crate) fn take_before_clone(&mut self) -> Vec<Join> {
        let all = self.new & flag::USER != 0;
        let before = |join: &Join| join.flag == flag::PID || all && join.flag != flag::MOUNT;
        let (early, late) = std::mem::take(&mut self.join).into_iter().partition(before);
        self.join = late;
        early
    }

    /// Takes out the join of a user namespace, which must come before everything else.
    pub(crate) fn take_user(&mut self) -> Option<OwnedFd> {
        let index = self.join.iter().position(|join| join.flag == flag::USER)?;
        Some(self.join.swap_remove(index).fd)
    }
}

/// Namespaces that the calling thread entered for the time of a clone; it returns to its own when this is dropped.
pub(crate) struct Visit {
    home: Vec<Join>,
}

impl Visit {
    pub(crate) fn enter(joins: &[Join]) -> Result<Visit, Error> {
        let mut visit = Visit { home: Vec::new() };
        for join in joins {
            let name = file_name(join.flag);
            let own = format!("/proc/self/ns/{name}");
            let fd = File::open(&own).map_err(|error| Error::file("open", own, error))?.into();
            setns(&join.fd, join.flag)
                .map_err(|error| Error::setup(format!("join the {name} namespace"), error))?;
            visit.home.push(Join { flag: join.flag, fd });
        }
        Ok(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        for join in self.home.iter().rev() {
            if setns(&join.fd, join.flag).is_err() {
                // Going on in a container's namespace would act on the wrong system.
                std::process::abort();
            }
        }
    }
}

/// The name below `/proc/<pid>/ns`.
pub(crate) fn file_name(flag: u64) -> &'static str {
    match flag {
        flag::MOUNT => "mnt",
        flag::CGROUP => "cgroup",
        flag::UTS => "uts",
        flag::IPC => "ipc",
        flag::USER => "user",
        flag::PID => "pid",
        flag::NET => "net",
        _ => "time",
    }
}

fn flag_of(kind: LinuxNamespaceType) -> u64 {
    match kind {
        LinuxNamespaceType::Mount => flag::MOUNT,
        LinuxNamespaceType::Cgroup => flag::CGROUP,
        LinuxNamespaceType::Uts => flag::UTS,
        LinuxNamespaceType::Ipc => flag::IPC,
        LinuxNamespaceType::User => flag::USER,
        LinuxNamespaceType::Pid => flag::PID,
        LinuxNamespaceType::Network => flag::NET,
        LinuxNamespaceType::Time => flag::TIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Namespaces, Error> {
        Namespaces::open(&serde_json::from_str::<Vec<LinuxNamespace>>(json).expect("json"))
    }

    #[test]
    fn new_and_joined_are_told_apart() {
        let mut namespaces = parse(
            r#"[{"type":"mount"},{"type":"cgroup"},{"type":"pid","path":"/proc/self/ns/pid"},
                {"type":"network","path":"/proc/self/ns/net"}]"#,
        )
        .expect("namespaces");
        assert_eq!(namespaces.new, flag::MOUNT | flag::CGROUP);
        assert_eq!(namespaces.at_clone(), flag::MOUNT);
        let early = namespaces.take_before_clone();
        assert_eq!(early.iter().map(|join| join.flag).collect::<Vec<_>>(), [flag::PID]);
        assert_eq!(namespaces.join.len(), 1);
    }

    #[test]
    fn a_kind_twice_and_a_missing_file_are_refused_by_field() {
        let twice = parse(r#"[{"type":"mount"},{"type":"mount"}]"#).err().expect("refused").to_string();
        assert!(twice.contains("linux.namespaces[1]"), "{twice}");
        let missing = parse(r#"[{"type":"uts","path":"/nonexistent"}]"#).err().expect("refused").to_string();
        assert!(missing.contains("linux.namespaces[0].path"), "{missing}");
    }
}
