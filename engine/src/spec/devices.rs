//! Devices of a container: nodes to make, and rules for the device cgroup.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use serde_json::{Value, json};

use crate::error::{Error, IoContext, Result};
use crate::types::ContainerSpec;

/// What `config.json` says of devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub(super) nodes: Vec<Value>,
    pub(super) rules: Vec<Value>,
}

/// Nodes that every container has (OCI runtime specification, config-linux.md, "Default Devices"), made by the
/// runtime; they need rules only. Making nodes is allowed (mknod(2) needs a capability besides), opening not.
const DEFAULT_RULES: &[(&str, Option<i64>, Option<i64>, &str)] = &[
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", Some(1), Some(3), "rwm"), // null
    ("c", Some(1), Some(5), "rwm"), // zero
    ("c", Some(1), Some(7), "rwm"), // full
    ("c", Some(1), Some(8), "rwm"), // random
    ("c", Some(1), Some(9), "rwm"), // urandom
    ("c", Some(5), Some(0), "rwm"), // tty
    ("c", Some(5), Some(1), "rwm"), // console
    ("c", Some(5), Some(2), "rwm"), // ptmx
    ("c", Some(136), None, "rwm"),  // pts
];

/// Those the runtime makes anyway, and those that are its own affair.
const RUNTIMES_OWN: &[&str] = &[
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd",
    "core",
];

pub(super) fn devices(spec: &ContainerSpec) -> Result<Devices> {
    if spec.security.privileged {
        let mut devices =
            Devices { rules: vec![json!({ "allow": true, "access": "rwm" })], ..Devices::default() };
        for entry in std::fs::read_dir("/dev").at("read", "/dev")? {
            let path = entry.at("read", "/dev")?.path();
            let name = path.file_name().unwrap_or_default();
            if !RUNTIMES_OWN.iter().any(|own| name == *own) {
                devices.add_tree(&path, &path, "rwm", false)?;
            }
        }
        return Ok(devices);
    }
    let mut devices =
        Devices { rules: vec![json!({ "allow": false, "access": "rwm" })], ..Devices::default() };
    for (kind, major, minor, access) in DEFAULT_RULES {
        let mut rule = json!({ "allow": true, "type": kind, "access": access });
        for (name, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[name] = json!(number);
            }
        }
        devices.rules.push(rule);
    }
    for device in &spec.devices {
        let permissions = match device.permissions.as_str() {
            "" => "rwm",
            some if some.chars().all(|letter| "rwm".contains(letter)) => some,
            other => {
                let problem = format!("permissions {other:?} are not of r, w and m");
                return Err(Error::Invalid { field: "devices", problem });
            }
        };
        devices.add_tree(&device.host_path, &device.container_path, permissions, true)?;
    }
    Ok(devices)
}

impl Devices {
    /// A node, or all nodes of a directory. Other files are left out, unless `asked` for by name.
    fn add_tree(&mut self, host: &Path, container: &Path, access: &str, asked: bool) -> Result<()> {
        // A name in /dev may be a link to the node; below a directory links would lead to nodes met elsewhere.
        let found = if asked { std::fs::metadata(host) } else { std::fs::symlink_metadata(host) };
        let metadata = match found {
            // Privileged containers list /dev, which changes meanwhile.
            Err(error) if !asked && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            found => found.at("look at device", host)?,
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            for entry in std::fs::read_dir(host).at("read", host)? {
                let name = entry.at("read", host)?.file_name();
                self.add_tree(&host.join(&name), &container.join(&name), access, false)?;
            }
        } else if kind.is_char_device() || kind.is_block_device() {
            self.add_node(container.to_owned(), &metadata, access);
        } else if asked {
            let problem = format!("{} is not a device", host.display());
            return Err(Error::Invalid { field: "devices", problem });
        }
        Ok(())
    }

    fn add_node(&mut self, path: PathBuf, metadata: &std::fs::Metadata, access: &str) {
        let kind = if metadata.file_type().is_char_device() { "c" } else { "b" };
        let (major, minor) = (major(metadata.rdev()), minor(metadata.rdev()));
        self.nodes.push(json!({
            "path": path,
            "type": kind,
            "major": major,
            "minor": minor,
            "fileMode": metadata.mode() & 0o7777,
            "uid": metadata.uid(),
            "gid": metadata.gid(),
        }));
        self.rules
            .push(json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Device, Security};

    fn with(host: &str, permissions: &str) -> ContainerSpec {
        let device = Device {
            host_path: host.into(),
            container_path: "/dev/mine".into(),
            permissions: permissions.into(),
        };
        ContainerSpec { devices: vec![device], ..ContainerSpec::default() }
    }

    #[test]
    fn a_node_is_made_and_allowed() {
        let devices = devices(&with("/dev/null", "rw")).unwrap();
        assert_eq!(devices.nodes[0]["path"], "/dev/mine");
        let rule = json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" });
        assert_eq!(devices.rules.last(), Some(&rule));
        assert_eq!(devices.rules[0], json!({ "allow": false, "access": "rwm" }));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (path, permissions) in [("/etc/passwd", ""), ("/dev/absent", ""), ("/dev/null", "x")] {
            assert!(devices(&with(path, permissions)).is_err(), "{path}");
        }
    }

    #[test]
    fn privileged_containers_see_the_hosts() {
        let security = Security { privileged: true, ..Security::default() };
        let devices = devices(&ContainerSpec { security, ..ContainerSpec::default() }).unwrap();
        assert_eq!(devices.rules[0], json!({ "allow": true, "access": "rwm" }));
        assert!(devices.nodes.iter().all(|node| node["path"] != "/dev/null"));
    }
}
