//! Turns a tar stream into a folder that overlayfs takes as a lower layer.
//!
//! Whiteouts (OCI image specification, "Whiteouts") become what overlayfs reads: character devices 0:0
//! and the xattr `trusted.overlay.opaque` (kernel: filesystems/overlayfs). They concern only what lies
//! below: an entry of the same layer always stays, in whichever order the two come.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, makedev, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::LayerError;
use super::archive::{Archive, Entry};
use super::attributes::Attributes;
use super::header::Kind;
use super::path::TreePath;
use super::tree::{Cleared, Folders, Tree, is_dir, is_whiteout, make_dir, make_whiteout, open_in_root};

const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping of AUFS that old Docker versions left in layers.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

const MAX_ENTRIES: u64 = 10_000_000;
/// Bound on what is remembered of folders until the end.
const MAX_REMEMBERED: u64 = 256 << 20;

/// A layer being unpacked.
pub(crate) struct Unpacker {
    pub(super) tree: Tree,
    /// With nothing below, whiteouts mean nothing.
    is_base: bool,
    owner: (u32, u32),
    /// What each folder is to become; `None` for one that is only implied by an entry below it.
    pub(super) folders: Folders<Option<Attributes>>,
    pub(super) whiteouts: Vec<TreePath>,
    pub(super) opaque: BTreeSet<TreePath>,
    /// Hard links to a file of a layer below: (link, target).
    pub(super) late_links: Vec<(TreePath, TreePath)>,
    remembered: u64,
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

/// Where a new entry goes.
struct Spot {
    folder: Arc<OwnedFd>,
    name: CString,
}

impl Unpacker {
    /// Unpacks into the empty folder `root`; `trash` takes what is replaced.
    pub(crate) fn new(root: OwnedFd, trash: OwnedFd, is_base: bool) -> Unpacker {
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Unpacker {
            tree: Tree::new(root, trash),
            is_base,
            owner,
            folders: Folders::from([(TreePath::default(), None)]),
            whiteouts: Vec::new(),
            opaque: BTreeSet::new(),
            late_links: Vec::new(),
            remembered: 0,
            bytes: 0,
            inodes: 1,
        }
    }

    /// Unpacks all entries. The calling thread's umask must be 0.
    pub(crate) fn run<R: BufRead>(&mut self, archive: &mut Archive<R>) -> Result<(), LayerError> {
        let mut entries = 0u64;
        while let Some(entry) = archive.next_entry()? {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(LayerError::Limit { what: "entries", limit: MAX_ENTRIES });
            }
            self.apply(entry, archive)?;
        }
        Ok(())
    }

    fn apply<R: BufRead>(&mut self, mut entry: Entry, archive: &mut Archive<R>) -> Result<(), LayerError> {
        let path = TreePath::parse(&entry.name)?;
        if path.is_root() {
            if entry.kind != Kind::Dir {
                return Err(LayerError::malformed(&entry.name, "the root can only be a folder"));
            }
            return self.describe(path, Attributes::of(&mut entry));
        }
        let (_, name) = path.split();
        if name == OPAQUE {
            return self.make_opaque(path.parent());
        }
        if path.as_bytes().split(|b| *b == b'/').any(|name| name.starts_with(AUFS_PREFIX)) {
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(LayerError::malformed(&entry.name, "whiteout of no name"));
            }
            return self.hide(path.parent().join(hidden));
        }
        if entry.kind == Kind::Char && entry.device == (0, 0) {
            return self.hide(path);
        }
        let done = match entry.kind {
            Kind::Dir => return self.folder(path, Attributes::of(&mut entry)),
            Kind::HardLink => self.hard_link(&path, &entry),
            Kind::File => self.file(&path, &mut entry, archive),
            _ => self.special(&path, &mut entry),
        };
        self.inodes += 1;
        done
    }

    fn file<R: BufRead>(
        &mut self,
        path: &TreePath,
        entry: &mut Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), LayerError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(entry.mode & 0o777);
        let fd =
            self.create(path, "create", |spot| openat(&*spot.folder, spot.name.as_c_str(), flags, mode))?;
        let mut file = File::from(fd);
        let writing = |e: io::Error| LayerError::io("write", path.as_bytes(), e);
        match &entry.sparse {
            None => archive.read_content(entry.stored, |chunk| file.write_all(chunk).map_err(writing))?,
            Some(map) => {
                file.set_len(map.real_size).map_err(writing)?;
                for segment in &map.segments {
                    let mut at = segment.offset;
                    archive.read_content(segment.length, |chunk| {
                        file.write_all_at(chunk, at).map_err(writing)?;
                        at += chunk.len() as u64;
                        Ok(())
                    })?;
                }
            }
        }
        self.bytes += entry.stored.next_multiple_of(4096);
        Attributes::of(entry)
            .apply_to_new_file(&file, self.owner)
            .map_err(|e| LayerError::io("set the attributes of", path.as_bytes(), e))
    }

    /// Symlinks, devices and pipes.
    fn special(&mut self, path: &TreePath, entry: &mut Entry) -> Result<(), LayerError> {
        let is_symlink = entry.kind == Kind::Symlink;
        let (kind, device) = match entry.kind {
            Kind::Char => (SFlag::S_IFCHR, makedev(entry.device.0.into(), entry.device.1.into())),
            Kind::Block => (SFlag::S_IFBLK, makedev(entry.device.0.into(), entry.device.1.into())),
            _ => (SFlag::S_IFIFO, 0),
        };
        let target = c_string(&entry.link)?;
        let spot = self.create(path, "create", |spot| {
            if is_symlink {
                symlinkat(target.as_c_str(), &*spot.folder, spot.name.as_c_str())?;
            } else {
                mknodat(&*spot.folder, spot.name.as_c_str(), kind, Mode::empty(), device)?;
            }
            Ok(Spot { folder: Arc::clone(&spot.folder), name: spot.name.clone() })
        })?;
        Attributes::of(entry)
            .apply_by_name(spot.folder.as_fd(), &spot.name, is_symlink)
            .map_err(|e| LayerError::io("set the attributes of", path.as_bytes(), e))
    }

    fn hard_link(&mut self, path: &TreePath, entry: &Entry) -> Result<(), LayerError> {
        let target = TreePath::parse(&entry.link).map_err(|error| match error {
            LayerError::Escape { .. } => LayerError::Escape { entry: super::path::lossy(&entry.name) },
            other => other,
        })?;
        if target.is_root() || target == *path {
            return Err(LayerError::malformed(&entry.name, "hard link to itself or to the root"));
        }
        let io = |e: io::Error| LayerError::io("link", path.as_bytes(), e);
        let target_name = c_string(target.split().1)?;
        let found = match self.tree.parent(&target).map_err(io)? {
            None => None,
            Some(folder) => match fstatat(&*folder, target_name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if is_dir(&stat) => {
                    return Err(LayerError::malformed(&entry.name, "hard link to a folder"));
                }
                Ok(stat) if is_whiteout(&stat) => None,
                Ok(_) => Some(folder),
                Err(Errno::ENOENT) => None,
                Err(error) => return Err(io(error.into())),
            },
        };
        let Some(from) = found else {
            if self.is_base {
                return Err(LayerError::malformed(&entry.name, "hard link to what is not there"));
            }
            // Whatever this name was in this layer gives way now; the link itself comes with the parents.
            let spot = self.spot(path)?;
            self.make_way(path, &spot, false)?;
            self.remember(path, 64 + target.as_bytes().len() as u64)?;
            self.late_links.push((path.clone(), target));
            return Ok(());
        };
        self.create(path, "link", |spot| {
            linkat(&*from, target_name.as_c_str(), &*spot.folder, spot.name.as_c_str(), AtFlags::empty())
        })
    }

    fn folder(&mut self, path: TreePath, attributes: Attributes) -> Result<(), LayerError> {
        self.make_folder(&path)?;
        self.describe(path, attributes)
    }

    fn describe(&mut self, path: TreePath, attributes: Attributes) -> Result<(), LayerError> {
        self.remember(&path, 128 + attributes.weight())?;
        self.folders.insert(path, Some(attributes));
        Ok(())
    }

    /// Makes `path` a folder, keeping one that is there.
    fn make_folder(&mut self, path: &TreePath) -> Result<(), LayerError> {
        let io = |e: io::Error| LayerError::io("create", path.as_bytes(), e);
        let spot = self.spot(path)?;
        match make_dir(spot.folder.as_fd(), &spot.name) {
            Ok(()) => self.inodes += 1,
            Err(Errno::EEXIST) => {
                let cleared = self.make_way(path, &spot, true)?;
                if cleared != Cleared::Folder {
                    make_dir(spot.folder.as_fd(), &spot.name).map_err(|e| io(e.into()))?;
                    self.inodes += 1;
                }
                if cleared == Cleared::Whiteout {
                    self.opaque.insert(path.clone());
                }
            }
            Err(error) => return Err(io(error.into())),
        }
        Ok(())
    }

    /// A whiteout of `path`: hides what the layers below have there.
    fn hide(&mut self, path: TreePath) -> Result<(), LayerError> {
        if self.is_base {
            return Ok(());
        }
        let spot = self.spot(&path)?;
        match fstatat(&*spot.folder, spot.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            // This layer's own folder stays, and shows nothing from below.
            Ok(stat) if is_dir(&stat) => self.make_opaque(path),
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) => {
                make_whiteout(spot.folder.as_fd(), &spot.name)
                    .map_err(|e| LayerError::io("create the whiteout of", path.as_bytes(), e))?;
                self.inodes += 1;
                self.remember(&path, 64)?;
                self.whiteouts.push(path);
                Ok(())
            }
            Err(error) => Err(LayerError::io("create the whiteout of", path.as_bytes(), error)),
        }
    }

    fn make_opaque(&mut self, path: TreePath) -> Result<(), LayerError> {
        if self.is_base {
            return Ok(());
        }
        // The folder may be known only by this mark.
        self.spot(&path.join(OPAQUE))?;
        self.remember(&path, 64)?;
        self.opaque.insert(path);
        Ok(())
    }

    /// Makes a new entry, and makes way for it where the name is taken.
    fn create<T>(
        &mut self,
        path: &TreePath,
        action: &'static str,
        make: impl Fn(&Spot) -> Result<T, Errno>,
    ) -> Result<T, LayerError> {
        let spot = self.spot(path)?;
        let made = match make(&spot) {
            Err(Errno::EEXIST) => {
                self.make_way(path, &spot, false)?;
                make(&spot)
            }
            made => made,
        };
        made.map_err(|e| LayerError::io(action, path.as_bytes(), e))
    }

    fn make_way(&mut self, path: &TreePath, spot: &Spot, for_folder: bool) -> Result<Cleared, LayerError> {
        let cleared = self
            .tree
            .clear(spot.folder.as_fd(), &spot.name, for_folder)
            .map_err(|e| LayerError::io("replace", path.as_bytes(), e))?;
        if cleared == Cleared::Folder && !for_folder {
            self.folders.retain(|folder, _| !folder.is_within(path));
            self.opaque.retain(|folder| !folder.is_within(path));
            self.whiteouts.retain(|whiteout| !whiteout.is_within(path));
            self.late_links.retain(|(link, _)| !link.is_within(path));
        } else if cleared == Cleared::Whiteout {
            self.whiteouts.retain(|whiteout| whiteout != path);
        }
        Ok(cleared)
    }

    /// The folder for `path`, made with all above it where it is missing.
    fn spot(&mut self, path: &TreePath) -> Result<Spot, LayerError> {
        let name = c_string(path.split().1)?;
        let opened = match self.tree.parent(path) {
            Ok(Some(folder)) => return Ok(Spot { folder, name }),
            Ok(None) => self.make_parents(path).and_then(|()| self.reopen(path)),
            Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
                self.make_parents(path).and_then(|()| self.reopen(path))
            }
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                Err(LayerError::malformed(path.as_bytes(), "symlinks on the way go in circles"))
            }
            Err(error) => Err(LayerError::io("open the folder of", path.as_bytes(), error)),
        };
        Ok(Spot { folder: opened?, name })
    }

    fn reopen(&mut self, path: &TreePath) -> Result<Arc<OwnedFd>, LayerError> {
        match self.tree.parent(path) {
            Ok(Some(folder)) => Ok(folder),
            Ok(None) => Err(LayerError::malformed(path.as_bytes(), "a symlink on the way leads nowhere")),
            Err(error) => Err(LayerError::io("open the folder of", path.as_bytes(), error)),
        }
    }

    fn make_parents(&mut self, path: &TreePath) -> Result<(), LayerError> {
        for folder in path.ancestors() {
            let (above, name) = folder.split();
            let name = c_string(name)?;
            let io = |e: Errno| LayerError::io("create", folder.as_bytes(), e);
            let above =
                open_in_root(self.tree.root(), above, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(io)?;
            match fstatat(&above, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => {}
                Ok(stat) if is_whiteout(&stat) => {}
                Ok(stat) if is_dir(&stat) => continue,
                Ok(stat) if stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() => {
                    match open_in_root(
                        self.tree.root(),
                        folder.as_bytes(),
                        OFlag::O_PATH | OFlag::O_DIRECTORY,
                    ) {
                        Ok(_) => continue,
                        Err(_) => {
                            let reason = "a symlink on the way leads nowhere";
                            return Err(LayerError::malformed(path.as_bytes(), reason));
                        }
                    }
                }
                Ok(_) => {
                    return Err(LayerError::malformed(path.as_bytes(), "what is above it is no folder"));
                }
                Err(error) => return Err(io(error)),
            }
            self.make_folder(&folder)?;
            self.remember(&folder, 128)?;
            self.folders.entry(folder).or_insert(None);
        }
        Ok(())
    }

    fn remember(&mut self, path: &TreePath, extra: u64) -> Result<(), LayerError> {
        self.remembered += path.as_bytes().len() as u64 + extra;
        if self.remembered > MAX_REMEMBERED {
            return Err(LayerError::Limit { what: "bytes of folder names", limit: MAX_REMEMBERED });
        }
        Ok(())
    }
}

pub(super) fn c_string(name: &[u8]) -> Result<CString, LayerError> {
    CString::new(name).map_err(|_| LayerError::malformed(name, "name holds a NUL byte"))
}
