//! overlayfs as a detached mount.
//!
//! Kernels differ in how layers can be named: one `lowerdir+` each since 6.8; before that one `lowerdir` string, which
//! fsconfig(2) limits to 255 bytes, so that long paths go in as `/proc/self/fd/N`; and where even these are too many,
//! mount(2) with its page of options on a directory of our own, whence open_tree(2) takes the mount.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, umount2};

use crate::Error;
use crate::sys::mount::{Context, clone_path};

/// fsconfig(2) takes strings up to this length, with the NUL byte.
const MAX_STRING: usize = 256;

/// What to overlay.
struct Layers<'a> {
    lower: &'a [PathBuf],
    upper: &'a Path,
    work: &'a Path,
    options: &'a [&'a str],
}

/// An overlay of `lower` (topmost first) with the writable layer `upper`, as a detached mount.
///
/// `options` are further overlayfs options (`index=off`, `metacopy=on`, `userxattr`), see the kernel's
/// `Documentation/filesystems/overlayfs.rst`.
pub fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, options: &[&str]) -> Result<OwnedFd, Error> {
    let layers = Layers { lower, upper, work, options };
    let failed = |error| Error::setup(format!("mount an overlay over {}", upper.display()), error);
    if lower.is_empty() {
        return Err(failed(io::Error::other("it has no lower layer")));
    }
    match layers.one_by_one() {
        // The kernel knows no `lowerdir+`.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        result => return result.map_err(failed),
    }
    match layers.in_one_string() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        result => return result.map_err(failed),
    }
    layers.by_mount().map_err(failed)
}

impl Layers<'_> {
    /// Since Linux 6.8.
    fn one_by_one(&self) -> io::Result<OwnedFd> {
        let context = Context::open("overlay")?;
        for layer in self.lower {
            context.set("lowerdir+", text(layer)?)?;
        }
        self.finish(&context)
    }

    /// By their paths, or by open descriptors when the paths are too long together.
    fn in_one_string(&self) -> io::Result<OwnedFd> {
        let (lowerdir, _open) = self.lowerdir(MAX_STRING)?;
        let context = Context::open("overlay")?;
        context.set("lowerdir", &lowerdir)?;
        self.finish(&context)
    }

    fn finish(&self, context: &Context) -> io::Result<OwnedFd> {
        context.set("upperdir", text(self.upper)?)?;
        context.set("workdir", text(self.work)?)?;
        context.set("source", "overlay")?;
        for option in self.options {
            match option.split_once('=') {
                Some((key, value)) => context.set(key, value)?,
                None => context.flag(option)?,
            }
        }
        context.mount(0)
    }

    /// mount(2) onto the work directory's parent's sibling of our own.
    fn by_mount(&self) -> io::Result<OwnedFd> {
        let (lowerdir, _open) = self.lowerdir(page_size())?;
        let mut data =
            format!("lowerdir={lowerdir},upperdir={},workdir={}", text(self.upper)?, text(self.work)?);
        for option in self.options {
            data.push(',');
            data.push_str(option);
        }
        let mut place = self.upper.as_os_str().to_owned();
        place.push(".mount");
        let place = PathBuf::from(place);
        std::fs::create_dir(&place)?;
        let mounted = nix::mount::mount(
            Some("overlay"),
            &place,
            Some("overlay"),
            MsFlags::empty(),
            Some(data.as_str()),
        );
        let tree = mounted.map_err(io::Error::from).and_then(|()| {
            let tree = clone_path(&place, false);
            umount2(&place, MntFlags::MNT_DETACH)?;
            tree
        });
        std::fs::remove_dir(&place)?;
        tree
    }

    /// The layers joined by colons, below `limit` bytes, and the descriptors that keep the names valid.
    fn lowerdir(&self, limit: usize) -> io::Result<(String, Vec<File>)> {
        let mut names = Vec::new();
        for layer in self.lower {
            // Colons separate the layers and commas the options.
            names.push(text(layer)?.replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,"));
        }
        let plain = names.join(":");
        if plain.len() < limit {
            return Ok((plain, Vec::new()));
        }
        let open: Vec<File> = self.lower.iter().map(File::open).collect::<io::Result<_>>()?;
        let names: Vec<_> = open.iter().map(|layer| format!("/proc/self/fd/{}", layer.as_raw_fd())).collect();
        Ok((names.join(":"), open))
    }
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))
}

fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::c_path;
    use crate::sys::fs::{openat2, resolve};
    use std::io::Read;
    use std::os::fd::AsFd;

    /// Every way of mounting shows the same files. Needs root.
    #[test]
    fn each_way_gives_the_same_overlay() {
        let directory = tempfile::tempdir().expect("tempdir");
        let make = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).expect("mkdir");
            path
        };
        let lower: Vec<_> =
            (0..20).map(|index| make(&format!("a-layer-with-a-rather-long-name-{index}"))).collect();
        std::fs::write(lower[0].join("file"), "top").expect("write");
        std::fs::write(lower[19].join("file"), "bottom").expect("write");
        std::fs::write(lower[19].join("low"), "low").expect("write");
        type Way = fn(&Layers<'_>) -> io::Result<OwnedFd>;
        let ways: [(&str, usize, Way); 4] = [
            ("lowerdir+", 20, |layers| layers.one_by_one()),
            ("one string", 2, |layers| layers.in_one_string()),
            ("descriptors", 12, |layers| {
                let short = Layers { lower: &layers.lower[8..], ..*layers };
                short.in_one_string()
            }),
            ("mount(2)", 20, |layers| layers.by_mount()),
        ];
        for (name, count, way) in ways {
            let (upper, work) = (make(&format!("upper {name}")), make(&format!("work {name}")));
            let chosen: Vec<_> =
                if count == 2 { vec![lower[0].clone(), lower[19].clone()] } else { lower.clone() };
            let layers = Layers { lower: &chosen, upper: &upper, work: &work, options: &["index=off"] };
            let tree = match way(&layers) {
                Err(error) if name == "lowerdir+" && error.kind() == io::ErrorKind::InvalidInput => continue,
                result => result.unwrap_or_else(|error| panic!("{name}: {error}")),
            };
            let read = |file: &str| {
                let path = c_path(file).expect("path");
                let file = openat2(tree.as_fd(), &path, libc::O_RDONLY, resolve::IN_ROOT).expect("open");
                let mut text = String::new();
                File::from(file).read_to_string(&mut text).expect("read");
                text
            };
            assert_eq!(read("low"), "low", "{name}");
            assert_eq!(read("file"), if count == 12 { "bottom" } else { "top" }, "{name}");
        }
    }
}
