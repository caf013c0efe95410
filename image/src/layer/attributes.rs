//! Owner, mode, xattrs and times of an entry, set in the one order that keeps all of them.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};
use xattr::FileExt as _;

use super::archive::Entry;
use super::pax::Time;

/// xattrs that overlayfs reads as its own: a tar may not forge them.
const OVERLAY_PREFIXES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// What an entry says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    atime: Time,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    /// Takes them out of `entry`.
    pub(crate) fn of(entry: &mut Entry) -> Attributes {
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        xattrs.retain(|(name, _)| !OVERLAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
        Attributes {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            atime: entry.atime.unwrap_or(entry.mtime),
            xattrs,
        }
    }

    /// Memory this takes, about.
    pub(crate) fn weight(&self) -> u64 {
        self.xattrs.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// For a file just made by this process, with its mode's permission bits exact (umask 0). chown
    /// clears setuid bits and capabilities, so it goes first; a write clears them too, so all come last.
    pub(crate) fn apply_to_new_file(&self, file: &std::fs::File, owner: (u32, u32)) -> io::Result<()> {
        if (self.uid, self.gid) != owner {
            fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        if self.mode & 0o7000 != 0 {
            fchmod(file, Mode::from_bits_truncate(self.mode))?;
        }
        self.apply_xattrs(|name, value| file.set_xattr(name, value))?;
        futimens(file, &spec(self.atime), &spec(self.mtime))?;
        Ok(())
    }

    /// For a folder, when all its entries are there.
    pub(crate) fn apply_to_folder(&self, folder: &std::fs::File) -> io::Result<()> {
        fchown(folder, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        fchmod(folder, Mode::from_bits_truncate(self.mode))?;
        self.apply_xattrs(|name, value| folder.set_xattr(name, value))?;
        futimens(folder, &spec(self.atime), &spec(self.mtime))?;
        Ok(())
    }

    /// For a device, pipe or symlink `name` in `folder`: such cannot be opened without effect.
    pub(crate) fn apply_by_name(
        &self,
        folder: BorrowedFd<'_>,
        name: &CString,
        is_symlink: bool,
    ) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchownat(folder, name.as_c_str(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !is_symlink {
            // Not a symlink, as it was just made; and nobody else works in this folder.
            let mode = Mode::from_bits_truncate(self.mode);
            fchmodat(folder, name.as_c_str(), mode, FchmodatFlags::FollowSymlink)?;
        }
        if !self.xattrs.is_empty() {
            let mut path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
            path.push(OsStr::from_bytes(name.as_bytes()));
            self.apply_xattrs(|name, value| xattr::set(&path, name, value))?;
        }
        let (atime, mtime) = (spec(self.atime), spec(self.mtime));
        utimensat(folder, name.as_c_str(), &atime, &mtime, UtimensatFlags::NoFollowSymlink)?;
        Ok(())
    }

    fn apply_xattrs(&self, set: impl Fn(&OsStr, &[u8]) -> io::Result<()>) -> io::Result<()> {
        for (name, value) in &self.xattrs {
            match set(OsStr::from_bytes(name), value) {
                // The file system, or the kind of file, has no such xattrs; unpacking elsewhere would keep them.
                Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => {
                    tracing::debug!(xattr = %String::from_utf8_lossy(name), "xattr not supported here");
                }
                other => other?,
            }
        }
        Ok(())
    }
}

/// Copies owner, mode, times and xattrs from one open file or folder to another.
pub(crate) fn copy_attributes(from: &std::fs::File, to: &std::fs::File) -> io::Result<()> {
    let stat = nix::sys::stat::fstat(from.as_fd())?;
    fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fchmod(to, Mode::from_bits_truncate(stat.st_mode & 0o7777))?;
    for name in from.list_xattr()? {
        let is_overlay = OVERLAY_PREFIXES.iter().any(|prefix| name.as_bytes().starts_with(prefix));
        if !is_overlay && let Some(value) = from.get_xattr(&name)? {
            to.set_xattr(&name, &value)?;
        }
    }
    let atime = TimeSpec::new(stat.st_atime, stat.st_atime_nsec);
    let mtime = TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec);
    futimens(to, &atime, &mtime)?;
    Ok(())
}

fn spec(time: Time) -> TimeSpec {
    TimeSpec::new(time.seconds, i64::from(time.nanos))
}
