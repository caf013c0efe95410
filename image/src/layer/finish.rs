//! The last step of a layer, when the layers below are whole: what only they can tell, and what must
//! come after all entries.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use xattr::FileExt as _;

use super::LayerError;
use super::attributes::copy_attributes;
use super::path::TreePath;
use super::remove::open_folder;
use super::tree::{is_dir, is_whiteout, make_whiteout};
use super::unpack::{Unpacker, c_string};

const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// What a finished layer takes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
}

impl Unpacker {
    /// Finishes the layer on top of `below`, the roots of the layers under it, top first.
    pub(crate) fn finish(mut self, below: &[OwnedFd]) -> Result<Extent, LayerError> {
        self.link_from_below(below)?;
        self.hide_root(below)?;
        self.drop_needless_whiteouts()?;
        self.mark_opaque()?;
        self.describe_folders(below)?;
        Ok(Extent { bytes: self.bytes, inodes: self.inodes })
    }

    /// A hard link to a file of a lower layer is a copy: overlayfs cannot link across layers.
    fn link_from_below(&mut self, below: &[OwnedFd]) -> Result<(), LayerError> {
        for (path, target) in std::mem::take(&mut self.late_links) {
            let io = |e: io::Error| LayerError::io("link", path.as_bytes(), e);
            let missing = || LayerError::malformed(path.as_bytes(), "hard link to what is not there");
            let (folder, name) = find(below, &target).map_err(io)?.ok_or_else(missing)?;
            let stat =
                fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|e| io(e.into()))?;
            if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
                return Err(missing());
            }
            let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let write =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let copied = || -> io::Result<u64> {
                let mut from = File::from(openat(&folder, name.as_c_str(), read, Mode::empty())?);
                let into = self.tree.parent(&path)?.ok_or(Errno::ENOENT)?;
                let own_name = c_string(path.split().1).map_err(io::Error::other)?;
                let mut to = File::from(openat(&*into, own_name.as_c_str(), write, Mode::S_IRUSR)?);
                let bytes = io::copy(&mut from, &mut to)?;
                copy_attributes(&from, &to)?;
                Ok(bytes)
            }()
            .map_err(io)?;
            self.bytes += copied.next_multiple_of(4096);
        }
        Ok(())
    }

    /// overlayfs does not look for the opaque mark on a layer's root: each name below is hidden instead.
    fn hide_root(&mut self, below: &[OwnedFd]) -> Result<(), LayerError> {
        if !self.opaque.remove(&TreePath::default()) {
            return Ok(());
        }
        let io = |e: io::Error| LayerError::io("hide what is below", b"/", e);
        for layer in below {
            for name in names(layer.as_fd()).map_err(io)? {
                match fstatat(self.tree.root(), name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(stat) if is_dir(&stat) => {
                        self.opaque.insert(TreePath::default().join(name.as_bytes()));
                    }
                    Ok(_) => {}
                    Err(Errno::ENOENT) => {
                        make_whiteout(self.tree.root(), &name).map_err(io)?;
                        self.inodes += 1;
                    }
                    Err(error) => return Err(io(error.into())),
                }
            }
        }
        Ok(())
    }

    /// Below an opaque folder nothing is merged, and an unmerged folder shows its whiteouts as devices.
    fn drop_needless_whiteouts(&mut self) -> Result<(), LayerError> {
        if self.opaque.is_empty() {
            return Ok(());
        }
        for path in std::mem::take(&mut self.whiteouts) {
            if !path.ancestors().any(|folder| self.opaque.contains(&folder)) {
                continue;
            }
            let mut removed = || -> io::Result<()> {
                let name = CString::new(path.split().1)?;
                let Some(folder) = self.tree.parent(&path)? else { return Ok(()) };
                match fstatat(&*folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(stat) if is_whiteout(&stat) => {
                        Ok(unlinkat(&*folder, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?)
                    }
                    _ => Ok(()),
                }
            };
            removed().map_err(|e| LayerError::io("remove the whiteout of", path.as_bytes(), e))?;
        }
        Ok(())
    }

    fn mark_opaque(&mut self) -> Result<(), LayerError> {
        for path in &self.opaque {
            let io = |e: io::Error| LayerError::io("mark as opaque", path.as_bytes(), e);
            if let Some(folder) = self.tree.open_dir(path).map_err(io)? {
                File::from(folder).set_xattr(OPAQUE_XATTR, b"y").map_err(io)?;
            }
        }
        Ok(())
    }

    /// Sets what the tar said of each folder; one that it only implied looks as it does below, as it
    /// would have had the tar been unpacked over the layers below.
    fn describe_folders(&mut self, below: &[OwnedFd]) -> Result<(), LayerError> {
        for (path, attributes) in &self.folders {
            let io = |e: io::Error| LayerError::io("set the attributes of", path.as_bytes(), e);
            let Some(folder) = self.tree.open_dir(path).map_err(io)? else { continue };
            let folder = File::from(folder);
            match attributes {
                Some(attributes) => attributes.apply_to_folder(&folder).map_err(io)?,
                None if self.opaque.contains(path) => {}
                None => {
                    let Some((above, name)) = find(below, path).map_err(io)? else { continue };
                    if let Ok(lower) = open_folder(above.as_fd(), &name) {
                        copy_attributes(&File::from(lower), &folder).map_err(io)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Looks a path up in stacked layers as overlayfs would: the folder it is in, and its name there.
fn find(layers: &[OwnedFd], path: &TreePath) -> io::Result<Option<(OwnedFd, CString)>> {
    let components: Vec<&[u8]> =
        if path.is_root() { vec![b"."] } else { path.as_bytes().split(|b| *b == b'/').collect() };
    for layer in layers {
        let mut folder = layer.try_clone()?;
        let mut opaque = false;
        for (index, component) in components.iter().enumerate() {
            let name = CString::new(*component)?;
            let stat = match fstatat(&folder, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) if opaque => return Ok(None),
                Err(Errno::ENOENT) => break,
                Err(error) => return Err(error.into()),
            };
            if is_whiteout(&stat) {
                return Ok(None);
            }
            if index + 1 == components.len() {
                return Ok(Some((folder, name)));
            }
            if !is_dir(&stat) {
                return Ok(None);
            }
            folder = open_folder(folder.as_fd(), &name)?;
            opaque |= is_opaque(folder.as_fd())?;
        }
    }
    Ok(None)
}

fn is_opaque(folder: BorrowedFd<'_>) -> io::Result<bool> {
    let value =
        File::from(folder.try_clone_to_owned()?).get_xattr(OsStr::from_bytes(OPAQUE_XATTR.as_bytes()))?;
    Ok(value.as_deref() == Some(b"y"))
}

fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    let mut dir = Dir::from_fd(open_folder(folder, c".")?)?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
