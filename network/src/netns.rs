//! Network namespaces: made by a thread that lives for nothing else, pinned as a file, entered by a thread.
//!
//! The daemon itself never leaves its own namespace: unshare(2) and setns(2) act on the calling thread, so each
//! is done in a thread of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Error, Result};
use crate::link::loopback_up;
use crate::netlink::Socket;

/// A network namespace and a route socket inside it.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) fd: OwnedFd,
    pub(crate) socket: Socket,
}

/// Makes a namespace with its loopback up. The calling thread is in it afterwards.
pub(crate) fn unshare_here() -> Result<Namespace> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| Error::system("make a network namespace", errno))?;
    let path = "/proc/thread-self/ns/net";
    let fd = File::open(path).map_err(|source| Error::file("open", path, source))?.into();
    let mut socket = Socket::route()?;
    socket.send_all(&[loopback_up()])?;
    Ok(Namespace { fd, socket })
}

/// Makes a namespace in a thread that ends with it.
pub(crate) fn make() -> Result<Namespace> {
    in_thread(unshare_here)
}

/// Opens a pinned namespace; `None` where there is no pin: no file, or a file on which nothing is mounted.
pub(crate) fn open_pinned(path: &Path) -> Result<Option<Namespace>> {
    if !is_pinned(path)? {
        return Ok(None);
    }
    let fd: OwnedFd = File::open(path).map_err(|source| Error::file("open", path, source))?.into();
    let socket = in_thread(|| {
        setns(fd.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|errno| Error::file("enter", path, errno))?;
        let mut socket = Socket::route()?;
        socket.send_all(&[loopback_up()])?;
        Ok(socket)
    })?;
    Ok(Some(Namespace { fd, socket }))
}

/// Whether a namespace is mounted at this path.
pub(crate) fn is_pinned(path: &Path) -> Result<bool> {
    match nix::sys::statfs::statfs(path) {
        Ok(stat) => Ok(stat.filesystem_type() == nix::sys::statfs::NSFS_MAGIC),
        Err(nix::errno::Errno::ENOENT) => Ok(false),
        Err(errno) => Err(Error::file("look at", path, errno)),
    }
}

/// Pins a namespace: an empty file, and the namespace mounted on it.
pub(crate) fn pin(namespace: &Namespace, path: &Path) -> Result<()> {
    File::create(path).map_err(|source| Error::file("create", path, source))?;
    let source = format!("/proc/self/fd/{}", namespace.fd.as_raw_fd());
    mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|errno| Error::file("pin a network namespace at", path, errno))
}

/// Takes the pin away: lazily, since processes may still be inside. Well if there is none.
pub(crate) fn unpin(path: &Path) -> Result<()> {
    // More than one pin can lie on the file when a crash came between two attempts.
    while is_pinned(path)? {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(|errno| Error::file("unmount", path, errno))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, source)),
        _ => Ok(()),
    }
}

/// Runs this in a thread of its own, so that what it does to its namespaces ends with it.
fn in_thread<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, body);
        let thread = thread.map_err(|source| Error::system("start a thread", source))?;
        thread.join().unwrap_or(Err(Error::Closed))
    })
}
