//! Files of an image, read without trusting it.
//!
//! Paths are resolved with openat2(2) and RESOLVE_IN_ROOT: a link, however made, ends inside the image. Only
//! regular files are opened, and no more than a bound is read: a device or a pipe in a file's place does nothing.
//! Several layers are seen through an overlay that is mounted in a mount namespace of one thread, and goes with it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::error::{Error, IoContext, Result};

/// More than any sane account file; the rest of a longer one is not seen.
const MAX_BYTES: u64 = 4 << 20;

/// The root directory of an image.
pub(super) struct Rootfs(OwnedFd);

impl Rootfs {
    /// Reads files given by paths relative to the root; those that are not there, or no files, are empty.
    pub(super) fn read_files<const N: usize>(
        lowers: &[PathBuf],
        names: [&'static str; N],
    ) -> Result<[String; N]> {
        match lowers {
            [] => Ok(names.map(|_| String::new())),
            [only] => Rootfs::open(only)?.read_all(names),
            several => {
                let work = || Rootfs::overlay(several)?.read_all(names);
                // The thread ends with its namespace; a thread of a pool would go on in it.
                std::thread::scope(|scope| match scope.spawn(work).join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            }
        }
    }

    fn open(dir: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(dir, flags, Mode::empty()).map(Rootfs).at("open layer", dir)
    }

    /// Leaves the calling thread in a mount namespace of its own.
    fn overlay(lowers: &[PathBuf]) -> Result<Self> {
        let top = lowers.first().map_or(Path::new("/"), PathBuf::as_path);
        unshare(CloneFlags::CLONE_NEWNS).at("make a mount namespace for", top)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).at("make private", "/")?;
        // By descriptor: mount(2) takes one page of options, and a path may hold colons.
        let layers = lowers.iter().map(|lower| Rootfs::open(lower)).collect::<Result<Vec<_>>>()?;
        let dirs: Vec<_> =
            layers.iter().map(|layer| format!("/proc/self/fd/{}", layer.0.as_raw_fd())).collect();
        let options = format!("lowerdir={}", dirs.join(":"));
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some("overlay"), top, Some("overlay"), flags, Some(options.as_str()))
            .at("mount layers on", top)?;
        Rootfs::open(top)
    }

    fn read_all<const N: usize>(&self, names: [&'static str; N]) -> Result<[String; N]> {
        let mut texts = names.map(|_| String::new());
        for (text, name) in texts.iter_mut().zip(names) {
            *text = self.read(Path::new(name))?;
        }
        Ok(texts)
    }

    fn read(&self, path: &Path) -> Result<String> {
        // Not opened yet, only found: opening a device or a pipe may already do something.
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let found = match openat2(&self.0, path, how) {
            Ok(found) => found,
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => return Ok(String::new()),
            Err(error) => return Err(error).at("open in the image", path),
        };
        let mode = fstat(found.as_fd()).at("look at", path)?.st_mode;
        if SFlag::from_bits_truncate(mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Ok(String::new());
        }
        let file =
            File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).at("open in the image", path)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|source| Error::Io {
            action: "read in the image",
            path: path.to_owned(),
            source,
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn layer(name: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix(name).tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn read(lowers: &[&Path]) -> String {
        let lowers: Vec<_> = lowers.iter().map(|lower| lower.to_path_buf()).collect();
        let [text] = Rootfs::read_files(&lowers, ["etc/passwd"]).unwrap();
        text
    }

    #[test]
    fn one_layer_and_none() {
        let dir = layer("one", &[("etc/passwd", "here")]);
        assert_eq!(read(&[dir.path()]), "here");
        assert_eq!(read(&[layer("none", &[]).path()]), "");
        assert_eq!(read(&[]), "");
    }

    #[test]
    fn links_stay_inside() {
        let dir = layer("link", &[("real", "inside"), ("etc/x", "")]);
        let passwd = dir.path().join("etc/passwd");
        for (target, text) in [
            ("/real", "inside"),
            ("../../../../../../real", "inside"),
            ("/etc/passwd", ""),
            ("/proc/self/root/etc/passwd", ""),
            ("../../../../../../etc/hostname", ""),
        ] {
            let _ = fs::remove_file(&passwd);
            symlink(target, &passwd).unwrap();
            assert_eq!(read(&[dir.path()]), text, "{target}");
        }
    }

    #[test]
    fn a_linked_directory_stays_inside() {
        let dir = layer("dir", &[("own/passwd", "inside")]);
        symlink("/own", dir.path().join("etc")).unwrap();
        assert_eq!(read(&[dir.path()]), "inside");
    }

    #[test]
    fn devices_and_pipes_are_not_opened() {
        let dir = layer("pipe", &[("etc/x", "")]);
        let passwd = dir.path().join("etc/passwd");
        nix::unistd::mkfifo(&passwd, Mode::S_IRUSR).unwrap();
        assert_eq!(read(&[dir.path()]), "");
        fs::remove_file(&passwd).unwrap();
        nix::sys::stat::mknod(&passwd, SFlag::S_IFCHR, Mode::S_IRUSR, nix::sys::stat::makedev(1, 5)).unwrap();
        assert_eq!(read(&[dir.path()]), "");
    }

    #[test]
    fn upper_layers_cover_lower_ones() {
        let base = layer("base", &[("etc/passwd", "base"), ("etc/group", "g")]);
        let middle = layer("middle", &[("other", "")]);
        let top = layer("top", &[("etc/passwd", "top")]);
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        assert_eq!(read(&[top.path(), middle.path(), base.path()]), "top");
        assert_eq!(read(&[middle.path(), base.path()]), "base");
        let here = |table: &str| {
            table.lines().filter(|line| line.contains("/top") || line.contains("/middle")).count()
        };
        assert_eq!(here(&mounts()), here(&before), "nothing is left mounted");
    }
}
