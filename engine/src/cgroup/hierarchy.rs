//! The mounted hierarchies (cgroups(7)), version 1 and 2, as directories.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::CgroupPath;
use crate::error::{IoContext, Result};

/// How long killed processes may take to go. The kernel frees a large one slowly when it is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Mount points of all hierarchies.
#[derive(Clone, Debug)]
pub(crate) struct Hierarchies {
    roots: Vec<PathBuf>,
    /// Version 2 alone, without version 1 beside it.
    unified: bool,
}

impl Hierarchies {
    /// Finds them in our mount namespace (proc_pid_mountinfo(5)).
    pub(crate) fn find() -> Result<Self> {
        let path = Path::new("/proc/self/mountinfo");
        Ok(Self::parse(&std::fs::read_to_string(path).at("read", path)?))
    }

    fn parse(mountinfo: &str) -> Self {
        let mut seen = BTreeSet::new();
        let (mut roots, mut unified) = (Vec::new(), true);
        for line in mountinfo.lines() {
            let Some((mount, source)) = line.split_once(" - ") else { continue };
            let fields: Vec<_> = mount.split(' ').collect();
            let kind = source.split(' ').next().unwrap_or_default();
            let (&[_, _, device, _, point, ..], "cgroup" | "cgroup2") = (&fields[..], kind) else { continue };
            unified &= kind == "cgroup2";
            // The same hierarchy may be mounted in several places.
            if seen.insert(device.to_owned()) {
                roots.push(PathBuf::from(point));
            }
        }
        Self { unified: unified && !roots.is_empty(), roots }
    }

    /// Version 2 alone.
    pub(crate) fn unified(&self) -> bool {
        self.unified
    }

    /// Whether the kernel can limit swap: version 1 says so in its root, version 2 can wherever there is swap.
    pub(crate) fn limits_swap(&self) -> bool {
        let v1 = self.roots.iter().any(|root| root.join("memory.memsw.limit_in_bytes").exists());
        v1 || (self.unified && Path::new("/proc/swaps").exists())
    }

    fn dirs(&self, below: &Path) -> impl Iterator<Item = PathBuf> {
        self.roots.iter().map(move |root| root.join(below))
    }

    pub(crate) fn exists(&self, below: &Path) -> bool {
        self.dirs(below).any(|dir| dir.exists())
    }

    /// Makes a cgroup in every hierarchy. Others remove empty ancestors meanwhile, so it may take several tries.
    pub(crate) fn make(&self, below: &Path) -> Result<()> {
        for dir in self.dirs(below) {
            let mut tries = 0;
            while let Err(error) = std::fs::create_dir_all(&dir) {
                // A hierarchy that is mounted read-only, or has been unmounted since, is not in use.
                match error.raw_os_error() {
                    Some(libc::EROFS) => break,
                    Some(libc::ENOENT) if tries < 10 => tries += 1,
                    _ => return Err(error).at("make cgroup", dir),
                }
            }
        }
        Ok(())
    }

    /// Kills all processes of a cgroup and of those below it, waits for their end, and removes the cgroups.
    pub(crate) fn kill(&self, below: &Path) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        for dir in self.dirs(below).filter(|dir| dir.exists()) {
            loop {
                let pids = kill_tree(&dir).at("kill cgroup", &dir)?;
                if pids == 0 || Instant::now() > until {
                    break;
                }
                pause();
            }
        }
        self.remove(below)
    }

    /// Removes a cgroup without processes, with those below it.
    pub(crate) fn remove(&self, below: &Path) -> Result<()> {
        for dir in self.dirs(below) {
            remove_tree(&dir).at("remove cgroup", &dir)?;
        }
        Ok(())
    }

    /// Removes a sandbox's own cgroup, and what is empty between it and `top`.
    pub(crate) fn remove_sandbox(&self, path: &CgroupPath, top: &str) -> Result<()> {
        if !path.own {
            return Ok(());
        }
        self.remove(path.dir())?;
        let top = Path::new(top.trim_start_matches('/'));
        let between = path.dir().ancestors().skip(1).take_while(|dir| dir.starts_with(top) && *dir != top);
        for ancestor in between {
            for dir in self.dirs(ancestor) {
                // One that others still use says EBUSY, and is theirs to remove.
                let _ = std::fs::remove_dir(dir);
            }
        }
        Ok(())
    }

    /// Removes the empty cgroups directly below `top` whose name `is_ours` accepts; names those removed.
    pub(crate) fn sweep(&self, top: &str, is_ours: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let top = Path::new(top.trim_start_matches('/'));
        let mut removed = Vec::new();
        for dir in self.dirs(top).flat_map(|dir| subdirs(&dir).unwrap_or_default()) {
            let ours = dir.file_name().and_then(|name| name.to_str()).is_some_and(&is_ours);
            if ours && remove_tree(&dir).is_ok() {
                removed.push(dir);
            }
        }
        removed
    }
}

/// Version 1 tells nobody when a cgroup becomes empty, so there is nothing else to wait for.
#[expect(clippy::disallowed_methods, reason = "the kernel offers no event")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Gives how many processes it met.
fn kill_tree(dir: &Path) -> io::Result<usize> {
    // Version 1's freezer holds even SIGKILL back; other hierarchies do not have the file.
    let freezer = dir.join("freezer.state");
    if freezer.exists() {
        std::fs::write(freezer, "THAWED")?;
    }
    let mut met = 0;
    for subdir in subdirs(dir)? {
        met += kill_tree(&subdir)?;
    }
    for pid in read_gone(&dir.join("cgroup.procs"))?.lines().filter_map(|line| line.parse::<i32>().ok()) {
        met += 1;
        // 0 stands for a process outside our PID namespace; kill(0) would be our own group.
        if pid > 0 {
            // It may have ended meanwhile.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
    Ok(met)
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for subdir in subdirs(dir)? {
        remove_tree(&subdir)?;
    }
    let until = Instant::now() + Duration::from_millis(500);
    loop {
        match std::fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // Processes that have just ended still count for a moment.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < until => {
                pause();
            }
            result => return result,
        }
    }
}

fn subdirs(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What has gone is as good as empty.
fn read_gone(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(String::new()),
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:29 / /elsewhere rw,relatime shared:4 - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn each_hierarchy_counts_once() {
        let found = Hierarchies::parse(HYBRID);
        assert_eq!(found.roots, [Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup/unified")]);
        assert!(!found.unified());
        assert!(Hierarchies::parse("9 1 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw").unified());
        assert!(!Hierarchies::parse("").unified());
    }

    #[test]
    fn a_cgroup_is_made_killed_and_removed() {
        let found = Hierarchies::find().unwrap();
        let name = format!("reeve-test-engine-{}", std::process::id());
        let path = CgroupPath::new(&format!("/{name}/kubepods/pod"), "/x", "s", false).unwrap();
        found.make(path.dir()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        for dir in found.dirs(path.dir()).filter(|dir| !dir.join("cpuset.cpus").exists()) {
            std::fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        let reaper = std::thread::spawn(move || child.wait().unwrap());
        found.kill(path.dir()).unwrap();
        assert!(!reaper.join().unwrap().success());
        assert!(!found.exists(path.dir()));
        found.remove_sandbox(&path, &name).unwrap();
        assert!(!found.exists(&Path::new(&name).join("kubepods")));
        assert!(found.exists(Path::new(&name)));
        found.remove(Path::new(&name)).unwrap();
    }
}
