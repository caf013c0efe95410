//! What the configuration asks for against what the runtime does. A field is carried out or refused by its name.

use std::path::Path;

use oci_spec::runtime::{Linux, Process, Spec};

use super::refused;
use crate::namespaces::{Namespaces, flag};
use crate::{Error, cgroup, hooks, sysctl};

/// The longest host name, `__NEW_UTS_LEN` of linux/utsname.h.
const MAX_HOSTNAME: usize = 64;
/// Lines that the kernel takes in a map of user ids, user_namespaces(7).
const MAX_MAPPINGS: usize = 340;

type Check = Result<(), Error>;

/// Checks everything that can be checked without touching anything.
pub(crate) fn spec(spec: &Spec, namespaces: &Namespaces, unified: bool) -> Check {
    let version = spec.version();
    if !version.starts_with("1.") {
        return Err(Error::config("ociVersion", format!("{version:?} is not 1.x")));
    }
    refused::spec(spec)?;
    let Some(process_object) = spec.process() else {
        return Err(Error::config("process", "is missing"));
    };
    process(process_object)?;
    let Some(linux_object) = spec.linux() else {
        return Err(Error::config("linux", "is missing"));
    };
    names(spec, namespaces)?;
    hooks::check(spec.hooks().as_ref())?;
    linux(linux_object, namespaces, unified)
}

/// Checks a process object of a container or of `exec`.
pub(crate) fn process(process: &Process) -> Check {
    refused::process(process)?;
    let profile = process.apparmor_profile().as_deref().unwrap_or_default();
    if !profile.is_empty() && profile != "unconfined" && !Path::new("/sys/kernel/security/apparmor").exists()
    {
        return Err(Error::config("process.apparmorProfile", "apparmor is not enabled on this system"));
    }
    Ok(())
}

fn names(spec: &Spec, namespaces: &Namespaces) -> Check {
    for (field, name) in [("hostname", spec.hostname()), ("domainname", spec.domainname())] {
        let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
        if !namespaces.has(flag::UTS) {
            return Err(Error::config(
                field,
                format!("unable to set {field} without a private UTS namespace"),
            ));
        }
        if name.len() > MAX_HOSTNAME {
            return Err(Error::config(field, format!("is longer than {MAX_HOSTNAME} bytes")));
        }
    }
    Ok(())
}

fn linux(linux: &Linux, namespaces: &Namespaces, unified: bool) -> Check {
    if !namespaces.has(flag::MOUNT) {
        return Err(Error::config(
            "linux.namespaces",
            "a container without a mount namespace is not implemented",
        ));
    }
    mappings(linux, namespaces)?;
    if linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty()) {
        if namespaces.new & flag::TIME == 0 {
            return Err(Error::config("linux.timeOffsets", "needs a new time namespace"));
        }
        let clocks = linux.time_offsets().iter().flatten().map(|(clock, _)| clock.as_str());
        if let Some(other) = clocks.into_iter().find(|clock| !["monotonic", "boottime"].contains(clock)) {
            return Err(Error::config(
                "linux.timeOffsets",
                format!("{other:?} is no clock of a time namespace"),
            ));
        }
    }
    for (field, paths) in [("maskedPaths", linux.masked_paths()), ("readonlyPaths", linux.readonly_paths())] {
        for (index, path) in paths.iter().flatten().enumerate() {
            if !path.starts_with('/') {
                return Err(Error::config(
                    format!("linux.{field}[{index}]"),
                    format!("{path:?} is not absolute"),
                ));
            }
        }
    }
    sysctl::check(linux.sysctl().as_ref(), namespaces)?;
    linux.resources().as_ref().map_or(Ok(()), |resources| cgroup::check_resources(resources, unified))
}

fn mappings(linux: &Linux, namespaces: &Namespaces) -> Check {
    for (field, list) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
        let count = list.as_ref().map_or(0, Vec::len);
        let refuse = |reason: &str| Err(Error::config(format!("linux.{field}"), reason));
        match (namespaces.new & flag::USER != 0, count) {
            (true, 0) => return refuse("a new user namespace needs mappings"),
            (false, 1..) if !namespaces.has(flag::USER) => return refuse("needs a user namespace"),
            (_, count) if count > MAX_MAPPINGS => return refuse("has more lines than the kernel takes"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::default_spec;

    const ALL: u64 = flag::MOUNT | flag::UTS | flag::IPC | flag::NET | flag::PID;

    fn verdict(change: impl FnOnce(&mut serde_json::Value), new: u64) -> Option<String> {
        let mut json = serde_json::to_value(default_spec(false)).expect("json");
        change(&mut json);
        let changed: Spec = serde_json::from_value(json).expect("spec");
        spec(&changed, &Namespaces { new, join: Vec::new() }, false).err().map(|error| error.to_string())
    }

    #[test]
    fn the_default_passes() {
        assert_eq!(verdict(|_| {}, ALL), None);
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_its_name() {
        use serde_json::json;
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, Change, u64); 10] = [
            ("ociVersion", |spec| spec["ociVersion"] = json!("2.0.0"), ALL),
            ("process.selinuxLabel", |spec| spec["process"]["selinuxLabel"] = json!("x"), ALL),
            ("linux.intelRdt", |spec| spec["linux"]["intelRdt"] = json!({}), ALL),
            ("linux.mountLabel", |spec| spec["linux"]["mountLabel"] = json!("x"), ALL),
            ("linux.netDevices", |spec| spec["linux"]["netDevices"] = json!({"eth0":{}}), ALL),
            ("linux.namespaces", |_| {}, ALL & !flag::MOUNT),
            ("hostname", |_| {}, ALL & !flag::UTS),
            ("linux.uidMappings", |_| {}, ALL | flag::USER),
            ("linux.timeOffsets", |spec| spec["linux"]["timeOffsets"] = json!({"monotonic":{"secs":1}}), ALL),
            ("linux.maskedPaths[0]", |spec| spec["linux"]["maskedPaths"] = json!(["proc"]), ALL),
        ];
        for (field, change, new) in cases {
            let text = verdict(change, new).unwrap_or_else(|| panic!("{field} passed"));
            assert!(text.contains(field), "{text}");
        }
    }
}
