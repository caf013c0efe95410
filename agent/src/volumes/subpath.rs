//! `subPath`: a part of a volume, which its containers can change at any time.
//!
//! A container that swaps the path for a link must not gain something of the host. So the path is opened below
//! the volume, by a descriptor that cannot leave it, and that descriptor is bind-mounted in a place that no
//! container reaches; the runtime mounts it from there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, mkdirat};

use super::Error;

pub(super) fn set_up(name: &str, volume: &Path, sub: &str, target: &Path) -> Result<PathBuf, Error> {
    let fail = |source| Error::SubPath { volume: name.to_owned(), path: sub.to_owned(), source };
    let opened = open_below(volume, Path::new(sub)).map_err(fail)?;
    bind(&opened, target).map_err(fail)?;
    Ok(target.to_path_buf())
}

/// Opens a path below a directory, making the directories that are missing.
fn open_below(volume: &Path, sub: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let root: OwnedFd =
        OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(volume)?.into();
    let mut so_far = PathBuf::new();
    let mut current: Option<OwnedFd> = None;
    for part in sub.components() {
        let Component::Normal(part) = part else {
            if part == Component::CurDir {
                continue;
            }
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it must stay below the volume"));
        };
        let parent = current.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        so_far.push(part);
        let next = match openat2(&root, &so_far, how) {
            Err(Errno::ENOENT) => {
                mkdirat(parent, part, Mode::from_bits_truncate(0o750))?;
                openat2(&root, &so_far, how)?
            }
            opened => opened?,
        };
        current = Some(next);
    }
    Ok(current.unwrap_or(root))
}

fn bind(opened: &OwnedFd, target: &Path) -> io::Result<()> {
    if super::teardown::mounts_below(target)?.iter().any(|m| m == target) {
        // What a container left may have been replaced meanwhile: what is there now is wanted.
        super::teardown::unmount(target)?;
    }
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if std::fs::metadata(&source)?.is_dir() {
        std::fs::create_dir_all(target)?;
    } else {
        File::options().create(true).append(true).open(target)?;
    }
    mount(Some(source.as_str()), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}
