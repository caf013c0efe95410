//! Which capabilities (capabilities(7)) a container has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::types::Security;

/// All of them, in the kernel's order. The runtime leaves out what the running kernel, or the daemon, lacks.
const ALL: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container gets unasked (as Docker and containerd have it).
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Names without `CAP_`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    set: BTreeSet<&'static str>,
    ambient: BTreeSet<&'static str>,
}

impl Capabilities {
    pub(super) fn new(security: &Security) -> Result<Self> {
        let ambient = known("add_ambient_capabilities", &security.add_ambient_capabilities)?;
        if security.privileged {
            return Ok(Self { set: ALL.iter().copied().collect(), ambient: ambient.names });
        }
        let (add, drop) = (
            known("add_capabilities", &security.add_capabilities)?,
            known("drop_capabilities", &security.drop_capabilities)?,
        );
        let mut set: BTreeSet<_> = match (add.all, drop.all) {
            (true, _) => ALL.iter().copied().collect(),
            (false, true) => BTreeSet::new(),
            (false, false) => DEFAULT.iter().copied().collect(),
        };
        set.extend(&add.names);
        set.extend(&ambient.names);
        // `drop: ALL` is the ground on which single ones are added; a single name that is dropped stays out.
        set.retain(|name| !drop.names.contains(name));
        let ambient = ambient.names.into_iter().filter(|name| set.contains(name)).collect();
        Ok(Self { set, ambient })
    }

    /// `name` without `CAP_`.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// `process.capabilities`. Inheritable ones would let a file's inheritable set through, so there are none
    /// but for what the ambient set needs.
    pub(super) fn to_json(&self) -> Value {
        let (set, ambient) = (prefixed(&self.set), prefixed(&self.ambient));
        let mut value = json!({ "bounding": set, "effective": set, "permitted": set });
        if !ambient.is_empty() {
            value["inheritable"] = json!(ambient);
            value["ambient"] = json!(ambient);
        }
        value
    }
}

fn prefixed(names: &BTreeSet<&str>) -> Vec<String> {
    names.iter().map(|name| format!("CAP_{name}")).collect()
}

#[derive(Default)]
struct Known {
    all: bool,
    names: BTreeSet<&'static str>,
}

fn known(field: &'static str, names: &[String]) -> Result<Known> {
    let mut found = Known::default();
    for name in names {
        let upper = name.to_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match ALL.iter().find(|known| **known == bare) {
            Some(known) => _ = found.names.insert(known),
            None if bare == "ALL" => found.all = true,
            None => return Err(Error::Invalid { field, problem: format!("unknown capability {name:?}") }),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> BTreeSet<&'static str> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let security =
            Security { add_capabilities: list(add), drop_capabilities: list(drop), ..Security::default() };
        Capabilities::new(&security).unwrap().set
    }

    #[test]
    fn adding_and_dropping() {
        let with = |names: &[&'static str]| DEFAULT.iter().chain(names).copied().collect::<BTreeSet<_>>();
        let all = || ALL.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(set(&[], &[]), with(&[]));
        assert_eq!(set(&["CAP_NET_ADMIN", "sys_time"], &[]), with(&["NET_ADMIN", "SYS_TIME"]));
        assert_eq!(set(&[], &["ALL"]), BTreeSet::new());
        assert_eq!(set(&["CHOWN"], &["ALL"]), BTreeSet::from(["CHOWN"]));
        assert_eq!(set(&["ALL"], &[]), all());
        assert!(!set(&["ALL"], &["SYS_ADMIN"]).contains("SYS_ADMIN"));
        assert!(!set(&[], &["CHOWN"]).contains("CHOWN"));
    }

    #[test]
    fn ambient_ones_are_in_all_five_sets() {
        let security = Security { add_ambient_capabilities: vec!["SYS_NICE".into()], ..Security::default() };
        let json = Capabilities::new(&security).unwrap().to_json();
        for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
            assert!(json[set].as_array().unwrap().contains(&json!("CAP_SYS_NICE")), "{set}");
        }
    }

    #[test]
    fn unknown_ones_are_named() {
        let security = Security { add_capabilities: vec!["NET_MAGIC".into()], ..Security::default() };
        let error = Capabilities::new(&security).unwrap_err();
        assert_eq!(error.to_string(), "add_capabilities: unknown capability \"NET_MAGIC\"");
    }
}
