//! What is mounted in a container, besides its root.

use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::Input;
use crate::error::{Error, IoContext, Result};
use crate::types::{Mount, Propagation};

/// `mounts` and `linux.rootfsPropagation`.
pub(super) struct Mounts {
    pub(super) list: Vec<Value>,
    pub(super) root_propagation: Option<&'static str>,
}

pub(super) fn mounts(input: &Input) -> Result<Mounts> {
    let (spec, mut root_propagation) = (&input.container.spec, None);
    let mut binds = Vec::new();
    for mount in &spec.mounts {
        let bind = bind(mount)?;
        match mount.propagation {
            Propagation::Private => {}
            // The root must let through what the bind is to get.
            Propagation::HostToContainer => root_propagation = root_propagation.or(Some("rslave")),
            Propagation::Bidirectional => root_propagation = Some("rshared"),
        }
        binds.push(bind);
    }
    let wanted = |path: &str| spec.mounts.iter().any(|mount| mount.container_path == Path::new(path));
    let mut list: Vec<_> =
        system(input).into_iter().filter(|(path, _)| !wanted(path)).map(|(_, mount)| mount).collect();
    let of_pod = pod_files(input).into_iter().filter(|(path, _)| !wanted(path)).map(|(_, mount)| mount);
    binds.splice(0..0, of_pod);
    // A bind below another's target comes after it; otherwise the order is the caller's (the sort is stable).
    binds.sort_by_key(|mount| {
        Path::new(mount["destination"].as_str().unwrap_or_default()).components().count()
    });
    list.extend(binds);
    Ok(Mounts { list, root_propagation })
}

/// The kernel's own file systems (OCI runtime specification, config-linux.md, "Default Filesystems").
fn system(input: &Input) -> Vec<(&'static str, Value)> {
    let privileged = input.container.spec.security.privileged;
    let access = if privileged { "rw" } else { "ro" };
    let shm = match input.sandbox.spec.host_ipc {
        true => PathBuf::from("/dev/shm"),
        false => input.sandbox_dir.join("shm"),
    };
    let mount = |path: &'static str, kind: &str, options: &[&str]| {
        (path, json!({ "destination": path, "type": kind, "source": kind, "options": options }))
    };
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
        (
            "/dev/shm",
            json!({
                "destination": "/dev/shm",
                "type": "bind",
                "source": shm,
                "options": ["rbind", "nosuid", "noexec", "nodev", "rprivate", "rw"],
            }),
        ),
    ]
}

/// What tells the container its name and its neighbours.
fn pod_files(input: &Input) -> Vec<(&'static str, Value)> {
    let access = if input.container.spec.security.readonly_rootfs { "ro" } else { "rw" };
    let file = |path: &'static str, name: &str| {
        let source = input.sandbox_dir.join(name);
        let options = ["rbind", "rprivate", access];
        (path, json!({ "destination": path, "type": "bind", "source": source, "options": options }))
    };
    vec![
        file("/etc/hosts", "hosts"),
        file("/etc/hostname", "hostname"),
        file("/etc/resolv.conf", "resolv.conf"),
    ]
}

fn bind(mount: &Mount) -> Result<Value> {
    let problem = |problem: String| Error::Invalid { field: "mounts", problem };
    if !mount.container_path.is_absolute()
        || mount.container_path.components().any(|part| part == Component::ParentDir)
    {
        return Err(problem(format!("{:?} is not an absolute path in the container", mount.container_path)));
    }
    if !mount.host_path.is_absolute() {
        return Err(problem(format!("{:?} is not an absolute path of the host", mount.host_path)));
    }
    if mount.recursive_readonly && (!mount.readonly || mount.propagation != Propagation::Private) {
        let text = "recursive_readonly needs readonly, and no propagation";
        return Err(problem(format!("{}: {text}", mount.container_path.display())));
    }
    let source = source(&mount.host_path)?;
    let propagation = match mount.propagation {
        Propagation::Private => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    if mount.propagation == Propagation::Bidirectional && !is_shared(&source)? {
        let text = "is not on a shared mount, so nothing can propagate to it";
        return Err(problem(format!("{} {text}", source.display())));
    }
    let access = match (mount.readonly, mount.recursive_readonly) {
        (true, true) => "rro",
        (true, false) => "ro",
        (false, _) => "rw",
    };
    Ok(json!({
        "destination": mount.container_path,
        "type": "bind",
        "source": source,
        "options": ["rbind", propagation, access],
    }))
}

/// The path without links; a missing one is made as a directory, as Docker and the kubelet's callers expect.
fn source(path: &Path) -> Result<PathBuf> {
    if let Err(error) = std::fs::symlink_metadata(path) {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Err(error).at("look at", path);
        }
        std::fs::create_dir_all(path).at("make directory", path)?;
    }
    std::fs::canonicalize(path).at("resolve", path)
}

/// Whether the mount that holds a path is in a peer group (proc_pid_mountinfo(5), optional fields).
fn is_shared(path: &Path) -> Result<bool> {
    let file = Path::new("/proc/self/mountinfo");
    Ok(holder_is_shared(&std::fs::read_to_string(file).at("read", file)?, path))
}

fn holder_is_shared(mountinfo: &str, path: &Path) -> bool {
    let mut holder = (0, false);
    for line in mountinfo.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let Some(point) = fields.get(4) else { continue };
        let point = PathBuf::from(point.replace("\\040", " "));
        let depth = point.components().count();
        // Of two mounts on one point the later covers the earlier.
        if path.starts_with(&point) && depth >= holder.0 {
            let options = fields.iter().skip(6).take_while(|field| **field != "-");
            holder = (depth, options.clone().any(|field| field.starts_with("shared:")));
        }
    }
    holder.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let host_path = dir.path().join("a/b");
        let mount = Mount { host_path: host_path.clone(), container_path: "/x".into(), ..Mount::default() };
        let bind = bind(&mount).unwrap();
        assert!(host_path.is_dir());
        assert_eq!(bind["options"], json!(["rbind", "rprivate", "rw"]));
    }

    #[test]
    fn links_are_resolved_and_nonsense_refused() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("link")).unwrap();
        let mount = |host: PathBuf, container: &str| Mount {
            host_path: host,
            container_path: container.into(),
            ..Mount::default()
        };
        assert_eq!(bind(&mount(dir.path().join("link"), "/x")).unwrap()["source"], json!(real));
        assert!(bind(&mount(real.clone(), "x")).is_err());
        assert!(bind(&mount(real.clone(), "/x/../../etc")).is_err());
        assert!(bind(&mount("relative".into(), "/x")).is_err());
        assert!(bind(&Mount { recursive_readonly: true, ..mount(real, "/x") }).is_err());
    }

    #[test]
    fn the_covering_mount_decides() {
        let table = "\
23 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
30 23 0:9 / /private rw - tmpfs tmpfs rw
31 30 0:9 / /private/in\\040side rw shared:7 master:2 - tmpfs tmpfs rw";
        for (path, shared) in [("/var", true), ("/private/x", false), ("/private/in side/y", true)] {
            assert_eq!(holder_is_shared(table, Path::new(path)), shared, "{path}");
        }
    }
}
