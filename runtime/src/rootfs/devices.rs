//! Device nodes: those that every container has, and `linux.devices`.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::{UnlinkatFlags, unlinkat};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};

use super::resolve;
use crate::Error;
use crate::sys::fs::stat;
use crate::sys::mount::{attach, clone_path};
use crate::sys::{c_path, check};

/// runtime-spec, config-linux, "Default Devices"; console and ptmx are made elsewhere.
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// runtime-spec, runtime-linux, "Dev symbolic links", and the terminals' multiplexer.
const LINKS: [(&str, &CStr, &CStr); 4] = [
    ("/dev/fd", c"/proc/self/fd", c"fd"),
    ("/dev/stdin", c"/proc/self/fd/0", c"stdin"),
    ("/dev/stdout", c"/proc/self/fd/1", c"stdout"),
    ("/dev/stderr", c"/proc/self/fd/2", c"stderr"),
];

/// A node to make.
struct Node {
    path: PathBuf,
    kind: libc::mode_t,
    mode: u32,
    device: u64,
    owner: (u32, u32),
}

/// Makes all of them. With `bind` the host's nodes are bound instead.
pub(super) fn make_all(root: &OwnedFd, spec: &Spec, bind: bool) -> Result<(), Error> {
    let asked = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let mut nodes = Vec::with_capacity(DEFAULT.len() + asked.len());
    for (path, major, minor) in DEFAULT {
        // The configuration's own version of it takes the place.
        if !asked.iter().any(|device| device.path() == Path::new(path)) {
            let device = libc::makedev(major, minor);
            nodes.push(Node { path: path.into(), kind: libc::S_IFCHR, mode: 0o666, device, owner: (0, 0) });
        }
    }
    for (index, device) in asked.iter().enumerate() {
        nodes.push(Node::of(device, index)?);
    }
    let failed = |path: &Path, error| Error::setup(format!("make the device {}", path.display()), error);
    // An image whose /dev is a symbolic link would have the nodes made elsewhere.
    let dev = resolve::ensure_plain_directory(root.as_fd(), Path::new("/dev"))
        .map_err(|error| failed(Path::new("/dev"), error))?;
    let mask = umask(Mode::empty());
    for node in &nodes {
        if bind { node.bind(root) } else { node.make(root) }.map_err(|error| failed(&node.path, error))?;
    }
    umask(mask);
    for (path, target, name) in LINKS {
        link(&dev, target, name).map_err(|error| failed(Path::new(path), error))?;
    }
    let ptmx = || -> io::Result<()> {
        match unlinkat(&dev, c"ptmx", UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        link(&dev, c"pts/ptmx", c"ptmx")
    };
    ptmx().map_err(|error| failed(Path::new("/dev/ptmx"), error))
}

fn link(dev: &OwnedFd, target: &CStr, name: &CStr) -> io::Result<()> {
    match nix::unistd::symlinkat(target, dev, name) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Node {
    fn of(device: &LinuxDevice, index: usize) -> Result<Node, Error> {
        let field = |name: &str| format!("linux.devices[{index}].{name}");
        let kind = match device.typ() {
            LinuxDeviceType::B => libc::S_IFBLK,
            LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
            LinuxDeviceType::P => libc::S_IFIFO,
            LinuxDeviceType::A => return Err(Error::config(field("type"), "a node has one type")),
        };
        let number = |name: &str, value: i64| {
            u32::try_from(value)
                .map_err(|_| Error::config(field(name), format!("{value} is no device number")))
        };
        let device_number = if kind == libc::S_IFIFO {
            0
        } else {
            libc::makedev(number("major", device.major())?, number("minor", device.minor())?)
        };
        if !device.path().is_absolute() {
            return Err(Error::config(field("path"), "is not absolute"));
        }
        Ok(Node {
            path: device.path().clone(),
            kind,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            device: device_number,
            owner: (device.uid().unwrap_or(0), device.gid().unwrap_or(0)),
        })
    }

    fn make(&self, root: &OwnedFd) -> io::Result<()> {
        let (parent, name) = resolve::ensure_parent(root.as_fd(), &self.path)?;
        let mode = self.kind | self.mode;
        let make = || {
            // SAFETY: `name` is a C string.
            check(unsafe {
                libc::syscall(
                    libc::SYS_mknodat,
                    parent.as_raw_fd(),
                    name.as_ptr(),
                    mode,
                    self.device as libc::c_ulong,
                )
            })
        };
        match make() {
            // Images bring plain files and old nodes of these names.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                unlinkat(&parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
                make()?;
            }
            result => {
                result?;
            }
        }
        if self.owner != (0, 0) {
            let (uid, gid) = self.owner;
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            // SAFETY: `name` is a C string.
            check(unsafe {
                libc::syscall(libc::SYS_fchownat, parent.as_raw_fd(), name.as_ptr(), uid, gid, flags)
            })?;
        }
        Ok(())
    }

    fn bind(&self, root: &OwnedFd) -> io::Result<()> {
        let tree = clone_path(&self.path, false)?;
        let source = stat(tree.as_fd())?;
        if source.st_mode & libc::S_IFMT != self.kind || source.st_rdev != self.device {
            return Err(io::Error::other("the host's file of this name is another device"));
        }
        let target = resolve::ensure(root.as_fd(), &self.path, resolve::Want::File)?;
        attach(tree.as_fd(), target.as_fd())
    }
}

/// The host's /dev/null, verified: a masked file has to be empty whatever the image calls null.
pub(super) fn host_null() -> io::Result<OwnedFd> {
    let null = crate::sys::fs::openat2(
        nix::fcntl::AT_FDCWD,
        &c_path("/dev/null")?,
        libc::O_PATH | libc::O_NOFOLLOW,
        0,
    )?;
    let stat = stat(null.as_fd())?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != libc::makedev(1, 3) {
        return Err(io::Error::other("/dev/null is not the null device"));
    }
    Ok(null)
}
