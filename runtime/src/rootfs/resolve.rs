//! Paths inside a container's root, which its image controls.
//!
//! Every path is resolved once, in the root and without magic links, and what follows acts on the descriptor. Missing
//! parts are made one by one with calls relative to descriptors that are held, so that no swap of a directory for a
//! symbolic link can lead outside.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::sys::fs::{is_type, openat2, resolve, stat};
use crate::sys::{c_path, check};

/// The kernel follows this many links in a path, path_resolution(7).
const MAX_LINKS: usize = 40;

/// What has to be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Directory,
    File,
}

/// Opens `path` in `root` with O_PATH, following symbolic links inside the root.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    openat2(root, &relative(path)?, libc::O_PATH, resolve::IN_ROOT | resolve::NO_MAGICLINKS)
}

/// [`open`] of a directory with no symbolic link anywhere in its path.
pub(crate) fn open_plain_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    openat2(root, &relative(path)?, flags, resolve::IN_ROOT | resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS)
}

/// [`open`] that makes what is missing: directories, and at the end what is wanted.
pub(crate) fn ensure(root: BorrowedFd<'_>, path: &Path, want: Want) -> io::Result<OwnedFd> {
    match open(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(found) => return expect(found, want),
        Err(error) => return Err(error),
    }
    let mut walk = Walk { root: root.try_clone_to_owned()?, stack: Vec::new(), links: 0 };
    walk.go(path, want)
}

/// [`open_plain_directory`] that makes what is missing.
pub(crate) fn ensure_plain_directory(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    match open_plain_directory(root, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut current = root.try_clone_to_owned()?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        make_directory(current.as_fd(), &c_path(name)?)?;
        current = open_plain_directory(current.as_fd(), Path::new(name))?;
    }
    Ok(current)
}

/// The directory that `path` is in, made where missing, and the name in it.
pub(crate) fn ensure_parent(root: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, CString)> {
    let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok((ensure(root, parent, Want::Directory)?, c_path(name)?))
}

fn expect(found: OwnedFd, want: Want) -> io::Result<OwnedFd> {
    let is_directory = is_type(&stat(found.as_fd())?, libc::S_IFDIR);
    match (want, is_directory) {
        (Want::Directory, false) => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        (Want::File, true) => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Ok(found),
    }
}

/// `path` as openat2 wants it below a root.
fn relative(path: &Path) -> io::Result<CString> {
    let path = path.strip_prefix("/").unwrap_or(path);
    if path.as_os_str().is_empty() { c_path(".") } else { c_path(path) }
}

fn make_directory(parent: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
    // SAFETY: `name` is a C string.
    match check(unsafe { libc::syscall(libc::SYS_mkdirat, parent.as_raw_fd(), name.as_ptr(), 0o755) }) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map(drop),
    }
}

fn make_file(parent: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
    let mode = libc::S_IFREG | 0o644;
    // SAFETY: `name` is a C string.
    match check(unsafe { libc::syscall(libc::SYS_mknodat, parent.as_raw_fd(), name.as_ptr(), mode, 0) }) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map(drop),
    }
}

/// A walk from the root along names that may be symbolic links, also dangling ones: their targets are made.
struct Walk {
    root: OwnedFd,
    /// The directories from the root to where the walk is; ".." goes back along it and never above the root.
    stack: Vec<OwnedFd>,
    links: usize,
}

impl Walk {
    fn go(&mut self, path: &Path, want: Want) -> io::Result<OwnedFd> {
        let mut left: VecDeque<OsString> = components(path);
        while let Some(name) = left.pop_front() {
            if name == ".." {
                self.stack.pop();
                continue;
            }
            let step = if left.is_empty() { want } else { Want::Directory };
            let found = self.step(&c_path(&name)?, step)?;
            if is_type(&stat(found.as_fd())?, libc::S_IFLNK) {
                self.follow(found.as_fd(), &mut left)?;
            } else if left.is_empty() {
                return expect(found, want);
            } else {
                self.stack.push(found);
            }
        }
        expect(self.here().try_clone_to_owned()?, want)
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.stack.last().unwrap_or(&self.root).as_fd()
    }

    /// Opens `name` in the current directory without following it, and makes it where it is missing.
    fn step(&self, name: &CString, want: Want) -> io::Result<OwnedFd> {
        let open = || openat2(self.here(), name, libc::O_PATH | libc::O_NOFOLLOW, resolve::BENEATH);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match want {
                    Want::Directory => make_directory(self.here(), name)?,
                    Want::File => make_file(self.here(), name)?,
                }
                open()
            }
            other => other,
        }
    }

    /// Puts the target of `link` before what is left of the path.
    fn follow(&mut self, link: BorrowedFd<'_>, left: &mut VecDeque<OsString>) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let target = PathBuf::from(nix::fcntl::readlinkat(link, c"")?);
        if target.is_absolute() {
            self.stack.clear();
        }
        for name in components(&target).into_iter().rev() {
            left.push_front(name);
        }
        Ok(())
    }
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::symlink;

    struct Root {
        _outer: tempfile::TempDir,
        path: PathBuf,
        fd: OwnedFd,
    }

    fn root() -> Root {
        let outer = tempfile::tempdir().expect("tempdir");
        let path = outer.path().join("root");
        std::fs::create_dir(&path).expect("mkdir");
        let fd = File::open(&path).expect("open").into();
        Root { _outer: outer, path, fd }
    }

    #[test]
    fn missing_parts_are_made() {
        let root = root();
        ensure(root.fd.as_fd(), Path::new("/a/b/c"), Want::Directory).expect("directory");
        ensure(root.fd.as_fd(), Path::new("/a/d/file"), Want::File).expect("file");
        assert!(root.path.join("a/b/c").is_dir());
        assert!(root.path.join("a/d/file").is_file());
        let error = ensure(root.fd.as_fd(), Path::new("/a/d/file"), Want::Directory).expect_err("a file");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }

    #[test]
    fn links_out_of_the_root_stay_in_it() {
        let root = root();
        let outside = root.path.parent().expect("parent").join("outside");
        symlink(&outside, root.path.join("absolute")).expect("symlink");
        symlink("../../outside2", root.path.join("climbing")).expect("symlink");
        ensure(root.fd.as_fd(), Path::new("/absolute/x"), Want::File).expect("absolute");
        ensure(root.fd.as_fd(), Path::new("/climbing/x"), Want::Directory).expect("climbing");
        assert!(!outside.exists(), "nothing is made outside");
        assert!(!root.path.parent().expect("parent").join("outside2").exists());
        assert!(root.path.join("outside2/x").is_dir());
        assert!(root.path.join(outside.strip_prefix("/").expect("absolute")).join("x").is_file());
    }

    #[test]
    fn a_dangling_link_is_made_whole_and_a_circle_ends() {
        let root = root();
        symlink("../run/resolve/stub", root.path.join("resolv.conf")).expect("symlink");
        ensure(root.fd.as_fd(), Path::new("/resolv.conf"), Want::File).expect("file");
        assert!(root.path.join("run/resolve/stub").is_file());
        symlink("two", root.path.join("one")).expect("symlink");
        symlink("one", root.path.join("two")).expect("symlink");
        let error = ensure(root.fd.as_fd(), Path::new("/one/x"), Want::File).expect_err("circle");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_plain_directory_may_not_be_a_link() {
        let root = root();
        std::fs::create_dir(root.path.join("real")).expect("mkdir");
        symlink("real", root.path.join("proc")).expect("symlink");
        let error = ensure_plain_directory(root.fd.as_fd(), Path::new("/proc")).expect_err("link");
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        ensure_plain_directory(root.fd.as_fd(), Path::new("/sys/fs")).expect("made");
        assert!(root.path.join("sys/fs").is_dir());
    }
}
