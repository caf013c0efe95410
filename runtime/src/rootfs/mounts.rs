//! `mounts` of the configuration.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::mount::MsFlags;
use oci_spec::runtime::{Mount, Spec};

use super::apply;
use super::cgroup_mount::CgroupView;
use super::resolve::{self, Want};
use crate::Error;
use crate::mount::options::Options;
use crate::sys::fs::{PROC_MAGIC, is_type, magic, stat};
use crate::sys::mount::{Attributes, Context, attach, attr, clone_path, set_attributes};

/// The kernel's root of a procfs has this inode, `PROC_ROOT_INO`.
const PROC_ROOT: u64 = 1;
/// fsconfig(2) takes no longer strings.
const MAX_STRING: usize = 255;

/// Files in /proc that engines put their own over (lxcfs and the like); anything else there would deceive the runtime
/// or the container.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// One mount, with the descriptors that the parent can open.
pub(super) struct Prepared {
    index: usize,
    destination: PathBuf,
    kind: Kind,
    options: Options,
}

enum Kind {
    /// A tree of the host's, with its attributes and propagation as wanted.
    Bind { tree: OwnedFd, want: Want, is_proc: bool },
    /// A procfs or sysfs, which may not be reached over a symbolic link.
    Kernel(&'static str),
    /// cgroup hierarchies as the container may see them.
    Cgroup,
    /// A change of what is mounted there.
    Remount,
    /// Any other file system.
    FileSystem { kind: String, source: Option<String> },
}

pub(super) fn prepare(spec: &Spec, bundle: &Path) -> Result<Vec<Prepared>, Error> {
    spec.mounts()
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, mount)| Prepared::of(mount, index, bundle))
        .collect()
}

impl Prepared {
    fn of(mount: &Mount, index: usize, bundle: &Path) -> Result<Prepared, Error> {
        let options = Options::of(mount, index)?;
        let destination = normal(mount.destination());
        if destination == Path::new("/") {
            return Err(Error::config(
                format!("mounts[{index}].destination"),
                "the root cannot be mounted over",
            ));
        }
        let kind = if options.remount {
            Kind::Remount
        } else if options.bind {
            bind(mount, index, bundle, &options)?
        } else {
            match mount.typ().as_deref() {
                Some("proc") => Kind::Kernel("proc"),
                Some("sysfs") => Kind::Kernel("sysfs"),
                Some("cgroup" | "cgroup2") => Kind::Cgroup,
                None | Some("") => return Err(Error::config(format!("mounts[{index}].type"), "is missing")),
                Some(other) => {
                    let source = mount.source().as_ref().map(|source| source.to_string_lossy().into_owned());
                    Kind::FileSystem { kind: other.to_owned(), source }
                }
            }
        };
        let without_data = match kind {
            Kind::Bind { .. } => Some("a bind mount"),
            Kind::Cgroup => Some("a mount of cgroups"),
            Kind::Remount => Some("a change of a mount"),
            Kind::Kernel(_) | Kind::FileSystem { .. } => None,
        };
        if let (Some(what), Some((key, _))) = (without_data, options.data.first()) {
            let reason = format!("{key:?} is no option of {what}");
            return Err(Error::config(format!("mounts[{index}].options"), reason));
        }
        Ok(Prepared { index, destination, kind, options })
    }

    /// Whether the host's /dev or the like is bound, which has its devices already.
    pub(super) fn binds_dev(&self) -> bool {
        self.destination == Path::new("/dev") && matches!(self.kind, Kind::Bind { .. })
    }

    /// Mounts it below `root`.
    pub(super) fn attach(&self, root: &OwnedFd, cgroup: &CgroupView) -> Result<(), Error> {
        self.try_attach(root, cgroup).map_err(|error| {
            let (index, path) = (self.index, self.destination.display());
            Error::setup(format!("mounts[{index}]: mount {} at {path}", self.name()), error)
        })
    }

    fn try_attach(&self, root: &OwnedFd, cgroup: &CgroupView) -> io::Result<()> {
        let target = self.target(root)?;
        let tree = match &self.kind {
            Kind::Bind { tree, .. } => return attach(tree.as_fd(), target.as_fd()),
            Kind::Remount => return self.change(&target),
            Kind::Cgroup => {
                cgroup.mount(target.as_fd(), &self.options)?;
                let mounted = resolve::open(root.as_fd(), &self.destination)?;
                apply(&mounted, self.options.tree, true)?;
                return self.propagate(&mounted);
            }
            Kind::Kernel(kind) => file_system(kind, Some(kind), &self.options, &[])?,
            Kind::FileSystem { kind, source } => {
                if self
                    .options
                    .data
                    .iter()
                    .any(|(_, value)| value.as_ref().is_some_and(|v| v.len() > MAX_STRING))
                {
                    self.mount_by_path(kind, source.as_deref(), &target)?;
                    // What was mounted hides what the descriptor holds.
                    return self.change(&resolve::open(root.as_fd(), &self.destination)?);
                }
                let mode = self.inherited_mode(kind, &target)?;
                file_system(kind, source.as_deref(), &self.options, mode.as_slice())?
            }
        };
        attach(tree.as_fd(), target.as_fd())?;
        apply(&tree, self.options.tree, true)?;
        self.propagate(&tree)
    }

    fn target(&self, root: &OwnedFd) -> io::Result<OwnedFd> {
        let root = root.as_fd();
        let (want, is_proc) = match &self.kind {
            Kind::Kernel(kind) => {
                let target =
                    resolve::ensure_plain_directory(root, &self.destination).map_err(|error| match error
                        .raw_os_error()
                    {
                        Some(libc::ELOOP | libc::ENOTDIR) => {
                            io::Error::other("filesystem must be mounted on ordinary directory")
                        }
                        _ => error,
                    })?;
                if *kind == "proc" && self.destination != Path::new("/proc") {
                    refuse_proc(&target, root, &self.destination, false)?;
                }
                return Ok(target);
            }
            Kind::Remount => return resolve::open(root, &self.destination),
            Kind::Bind { want, is_proc, .. } => (*want, *is_proc),
            Kind::Cgroup | Kind::FileSystem { .. } => (Want::Directory, false),
        };
        if self.destination.starts_with("/proc")
            && self.destination != Path::new("/proc")
            && !is_known(&self.destination)
        {
            return Err(inside_proc());
        }
        let target = resolve::ensure(root, &self.destination, want)?;
        refuse_proc(&target, root, &self.destination, is_proc)?;
        Ok(target)
    }

    /// The attributes of a mount that is there, for `remount` and after mount(2).
    fn change(&self, mounted: &OwnedFd) -> io::Result<()> {
        apply(mounted, self.options.own, false)?;
        apply(mounted, self.options.tree, true)?;
        self.propagate(mounted)
    }

    fn propagate(&self, tree: &OwnedFd) -> io::Result<()> {
        for (propagation, recursive) in &self.options.propagation {
            let attributes = Attributes { propagation: *propagation, ..Attributes::default() };
            set_attributes(tree.as_fd(), &attributes, *recursive)?;
        }
        Ok(())
    }

    /// A tmpfs with no mode of its own takes that of the directory it covers.
    fn inherited_mode(&self, kind: &str, target: &OwnedFd) -> io::Result<Vec<(String, String)>> {
        if kind != "tmpfs" || self.options.names("mode") {
            return Ok(Vec::new());
        }
        let mode = stat(target.as_fd())?.st_mode & 0o7777;
        Ok(vec![(String::from("mode"), format!("{mode:o}"))])
    }

    /// mount(2), for options that fsconfig(2) finds too long. The path leads over the descriptor.
    fn mount_by_path(&self, kind: &str, source: Option<&str>, target: &OwnedFd) -> io::Result<()> {
        let joined = |(key, value): &(String, Option<String>)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        };
        let data: Vec<_> = self.options.data.iter().map(joined).collect();
        let path = format!("/proc/self/fd/{}", target.as_raw_fd());
        nix::mount::mount(
            source,
            path.as_str(),
            Some(kind),
            MsFlags::empty(),
            Some(data.join(",").as_str()),
        )?;
        Ok(())
    }

    fn name(&self) -> &str {
        match &self.kind {
            Kind::Bind { .. } => "a bind",
            Kind::Kernel(kind) => kind,
            Kind::Cgroup => "cgroup",
            Kind::Remount => "(remount)",
            Kind::FileSystem { kind, .. } => kind,
        }
    }
}

/// A new file system as a detached mount.
pub(super) fn file_system(
    kind: &str,
    source: Option<&str>,
    options: &Options,
    more: &[(String, String)],
) -> io::Result<OwnedFd> {
    let context = Context::open(kind)?;
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        context.set("source", source)?;
    }
    for (key, value) in &options.data {
        match value {
            Some(value) => context.set(key, value)?,
            None => context.flag(key)?,
        }
    }
    for (key, value) in more {
        context.set(key, value)?;
    }
    context.mount(options.own.set)
}

fn bind(mount: &Mount, index: usize, bundle: &Path, options: &Options) -> Result<Kind, Error> {
    let field = format!("mounts[{index}].source");
    let source = mount.source().as_deref().filter(|source| !source.as_os_str().is_empty());
    let source = source.ok_or_else(|| Error::config(&field, "is missing"))?;
    let source = bundle.join(source);
    let wrong = |error: io::Error| Error::config(&field, format!("{}: {error}", source.display()));
    let tree = clone_path(&source, options.recursive).map_err(wrong)?;
    let kind = stat(tree.as_fd()).map_err(wrong)?;
    let is_directory = is_type(&kind, libc::S_IFDIR);
    let is_proc = kind.st_ino == PROC_ROOT && magic(tree.as_fd()).map_err(wrong)? == PROC_MAGIC;
    let attributes = |propagation, change: crate::mount::options::Change, recursive| {
        let attributes =
            Attributes { propagation, set: change.set, clear: change.clear, ..Attributes::default() };
        if attributes == Attributes::default() {
            return Ok(());
        }
        set_attributes(tree.as_fd(), &attributes, recursive).map_err(wrong)
    };
    // As if bound in a namespace whose tree is a slave of the host's, unless the configuration wants to share.
    let shared = options.propagation.iter().any(|(kind, _)| *kind == libc::MS_SHARED);
    attributes(if shared { 0 } else { libc::MS_SLAVE }, options.tree, true)?;
    attributes(0, options.own, false)?;
    for (propagation, recursive) in &options.propagation {
        attributes(*propagation, Default::default(), *recursive)?;
    }
    Ok(Kind::Bind { tree, want: if is_directory { Want::Directory } else { Want::File }, is_proc })
}

/// Refuses targets in a procfs that is mounted already, and a stand-in for /proc.
fn refuse_proc(
    target: &OwnedFd,
    root: std::os::fd::BorrowedFd<'_>,
    destination: &Path,
    is_proc: bool,
) -> io::Result<()> {
    if destination != Path::new("/proc") && magic(target.as_fd())? == PROC_MAGIC && !is_known(destination) {
        return Err(inside_proc());
    }
    // However it was reached: what is mounted over /proc has to be a procfs.
    if let Ok(proc) = resolve::open(root, Path::new("/proc")) {
        let (one, other) = (stat(proc.as_fd())?, stat(target.as_fd())?);
        if !is_proc && one.st_dev == other.st_dev && one.st_ino == other.st_ino {
            return Err(io::Error::other("only a procfs can be mounted at /proc"));
        }
    }
    Ok(())
}

fn is_known(destination: &Path) -> bool {
    PROC_FILES.iter().any(|known| destination == Path::new(known))
}

fn inside_proc() -> io::Error {
    io::Error::other("cannot be mounted because it is inside /proc")
}

/// An absolute path without `.` and `..`, as the container's root sees it.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// The attributes of a mount that is read-only and nothing else.
pub(super) const HARMLESS: u64 = attr::NOSUID | attr::NODEV | attr::NOEXEC;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_normalised() {
        assert_eq!(normal(Path::new("proc/../sys//./x")), Path::new("/sys/x"));
        assert_eq!(normal(Path::new("/../..")), Path::new("/"));
    }

    #[test]
    fn known_files_of_proc_may_be_covered() {
        assert!(is_known(Path::new("/proc/meminfo")));
        assert!(!is_known(Path::new("/proc/self/attr/exec")));
    }
}
