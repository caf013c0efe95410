//! A descriptor that becomes readable when the kernel kills in a memory cgroup: an eventfd registered in
//! `cgroup.event_control` on v1 (`Documentation/admin-guide/cgroup-v1/memory.rst`, "OOM Control"), an inotify
//! watch of `memory.events` on v2 (`cgroup-v2.rst`).

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Watches the memory cgroup of process `pid`. None where there is no memory controller, or the process has
/// ended: then its end says what there was.
pub(super) fn memory_of(pid: i32) -> Option<OwnedFd> {
    match memory_cgroup(pid)? {
        Cgroup::V1(dir) => {
            let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).ok()?;
            let control = File::open(dir.join("memory.oom_control")).ok()?;
            let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
            let mut register = OpenOptions::new().write(true).open(dir.join("cgroup.event_control")).ok()?;
            register.write_all(line.as_bytes()).ok()?;
            Some(event.into())
        }
        Cgroup::V2(dir) => {
            let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
            watch.add_watch(&dir.join("memory.events"), AddWatchFlags::IN_MODIFY).ok()?;
            Some(watch.into())
        }
    }
}

enum Cgroup {
    V1(PathBuf),
    V2(PathBuf),
}

/// The directory of the process's cgroup in the hierarchy that has the memory controller (cgroups(7)).
fn memory_cgroup(pid: i32) -> Option<Cgroup> {
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let path_for = |wanted: &str| {
        memberships.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == wanted).then_some(path)
        })
    };
    let below = |mounted: (String, String), path: &str| {
        let (root, point) = mounted;
        let inside = if root == "/" { path } else { path.strip_prefix(&root)? };
        Some(PathBuf::from(point).join(inside.trim_start_matches('/')))
    };
    if let Some(path) = path_for("memory") {
        let mounted = mounts.lines().find_map(|line| mount_point(line, "cgroup", Some("memory")))?;
        return below(mounted, path).map(Cgroup::V1);
    }
    let mounted = mounts.lines().find_map(|line| mount_point(line, "cgroup2", None))?;
    below(mounted, path_for("")?).map(Cgroup::V2)
}

/// Root and mount point of a line of mountinfo (proc_pid_mountinfo(5)) if it is of this type, and has this
/// option of the superblock.
fn mount_point(line: &str, kind: &str, option: Option<&str>) -> Option<(String, String)> {
    let (mount, superblock) = line.split_once(" - ")?;
    let mut superblock = superblock.split(' ');
    if superblock.next()? != kind {
        return None;
    }
    let options = superblock.nth(1)?;
    if option.is_some_and(|wanted| !options.split(',').any(|name| name == wanted)) {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}
