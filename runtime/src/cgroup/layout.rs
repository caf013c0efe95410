//! Which hierarchies this machine has, and where a container's directories go.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};

use super::{Cgroup, Hierarchy};
use crate::Error;
use crate::sys::fs::{CGROUP2_MAGIC, magic, read_text};

const ROOT: &str = "/sys/fs/cgroup";

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounts {
    pub(crate) unified: bool,
    pub(crate) hierarchies: Vec<Hierarchy>,
}

impl Mounts {
    /// Looks at `/sys/fs/cgroup`, and on v1 and hybrid systems at the mount table.
    pub(crate) fn detect() -> Result<Mounts, Error> {
        let root = Path::new(ROOT);
        let on_v2 = File::open(root)
            .and_then(|directory| magic(directory.as_fd()))
            .map_err(|error| super::failed(root, error))?
            == CGROUP2_MAGIC;
        if on_v2 {
            let hierarchies = vec![Hierarchy { mount: root.to_owned(), controllers: Vec::new() }];
            return Ok(Mounts { unified: true, hierarchies });
        }
        let table = read_text(Path::new("/proc/self/mountinfo"))
            .map_err(|error| Error::file("read", "/proc/self/mountinfo", error))?;
        let hierarchies = parse(&table);
        if hierarchies.iter().all(Hierarchy::is_v2) {
            return Err(super::failed(root, "no cgroup hierarchy is mounted"));
        }
        Ok(Mounts { unified: false, hierarchies })
    }

    /// The cgroup that `linux.cgroupsPath` asks for; none given stands for one named after the container.
    pub(crate) fn place(self, asked: Option<&Path>, id: &str, systemd: bool) -> Result<Cgroup, Error> {
        let field = "linux.cgroupsPath";
        if systemd {
            if !self.unified {
                return Err(Error::config(field, "the systemd driver needs cgroup v2"));
            }
            let name =
                asked.map_or_else(|| format!(":reeve:{id}"), |path| path.to_string_lossy().into_owned());
            if name.split(':').count() != 3 || name.contains('/') {
                return Err(Error::config(field, format!("{name:?} is not slice:prefix:name")));
            }
            // The directory is systemd's choice; `attach` learns it.
            return Ok(Cgroup {
                unified: true,
                hierarchies: self.hierarchies,
                path: PathBuf::new(),
                systemd: Some(name),
            });
        }
        let path = match asked.filter(|path| !path.as_os_str().is_empty()) {
            None => Path::new("/").join(id),
            Some(path) => normal(path).ok_or_else(|| {
                Error::config(field, format!("{:?} is no path below the root cgroup", path))
            })?,
        };
        Ok(Cgroup { unified: self.unified, hierarchies: self.hierarchies, path, systemd: None })
    }
}

/// `path` from the root of the hierarchy; one that climbs or names the root itself is none.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => normal.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (normal != Path::new("/")).then_some(normal)
}

/// The cgroup mounts of a mountinfo table, proc_pid_mountinfo(5); the first mount of each hierarchy counts.
fn parse(table: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(mount) = left.split(' ').nth(4) else { continue };
        let mut fields = right.split(' ');
        let controllers = match (fields.next(), fields.nth(1)) {
            (Some("cgroup2"), _) => Vec::new(),
            (Some("cgroup"), Some(options)) => {
                let general =
                    ["rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods"];
                let own = |name: &&str| !general.contains(name) && !name.starts_with("release_agent=");
                options.split(',').filter(own).map(str::to_owned).collect()
            }
            _ => continue,
        };
        let hierarchy = Hierarchy { mount: PathBuf::from(mount), controllers };
        if !found.iter().any(|known| known.controllers == hierarchy.controllers) {
            found.push(hierarchy);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 31 0:29 / /mnt/again rw,relatime - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn a_hybrid_table_is_read() {
        let found = parse(TABLE);
        let short: Vec<_> =
            found.iter().map(|h| (h.mount.to_str().expect("utf-8"), h.controllers.join(","))).collect();
        assert_eq!(
            short,
            [
                ("/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct".to_owned()),
                ("/sys/fs/cgroup/systemd", "name=systemd".to_owned()),
                ("/sys/fs/cgroup/unified", String::new()),
            ]
        );
    }

    #[test]
    fn a_path_is_placed_below_the_root() {
        let place = |path: Option<&str>| {
            Mounts { unified: false, hierarchies: parse(TABLE) }.place(path.map(Path::new), "web", false)
        };
        assert_eq!(place(None).expect("none").path, Path::new("/web"));
        assert_eq!(place(Some("")).expect("empty").path, Path::new("/web"));
        assert_eq!(place(Some("pods//a/./b")).expect("relative").path, Path::new("/pods/a/b"));
        for outside in ["/..", "/a/../../b", "/"] {
            assert!(place(Some(outside)).is_err(), "{outside}");
        }
        let cgroup = place(Some("/x")).expect("place");
        assert_eq!(cgroup.controller("cpuacct").expect("cpuacct"), Path::new("/sys/fs/cgroup/cpu,cpuacct/x"));
        assert!(cgroup.controller("memory").is_none());
    }

    #[test]
    fn systemd_wants_its_own_form() {
        let unified = Mounts { unified: true, hierarchies: Vec::new() };
        assert!(unified.clone().place(Some(Path::new("/a/b")), "web", true).is_err());
        let cgroup = unified.place(Some(Path::new("a.slice:b:c")), "web", true).expect("place");
        assert_eq!(cgroup.systemd.as_deref(), Some("a.slice:b:c"));
    }
}
