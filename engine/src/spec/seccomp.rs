//! Seccomp profiles: the default one, and those in files of the host.

use std::path::Path;

use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

use super::seccomp_table as table;
use crate::error::{Error, IoContext, Result};

/// The ABIs of this machine, the native one first (libseccomp's names).
#[cfg(target_arch = "x86_64")]
const ABIS: &[&str] = &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const ABIS: &[&str] = &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ABIS: &[&str] = &["SCMP_ARCH_NATIVE"];

/// `clone` flags that make namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
const AF_VSOCK: u64 = 40;
/// PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is (personality(2)).
const PERSONALITIES: &[u64] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What containers may call when nobody says otherwise: Docker's default profile, as far as this machine's ABIs
/// and these capabilities go. `holds` takes a capability's name without `CAP_`.
pub(super) fn default_profile(holds: impl Fn(&str) -> bool) -> Value {
    let allow = |names: &[&str]| json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
    let allow_if = |name: &str, argument: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument] });
    let mut rules = vec![allow(table::ALWAYS)];
    // A guest's way to its host, past all network namespaces.
    rules.push(allow_if("socket", json!({ "index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE" })));
    for value in PERSONALITIES {
        rules.push(allow_if("personality", json!({ "index": 0, "value": value, "op": "SCMP_CMP_EQ" })));
    }
    for (capability, names) in table::WITH_CAPABILITY {
        if holds(capability) {
            rules.push(allow(names));
        }
    }
    if !holds("SYS_ADMIN") {
        let no_namespaces =
            json!({ "index": 0, "value": CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" });
        rules.push(allow_if("clone", no_namespaces));
        // Its flags lie in memory, out of a filter's reach. C libraries fall back to clone on ENOSYS only.
        rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": ABIS,
        "syscalls": rules,
    })
}

/// A profile in a file, in the OCI runtime specification's form.
pub(super) fn load(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).at("read seccomp profile", path)?;
    let invalid =
        |error| Error::Invalid { field: "seccomp", problem: format!("{}: {error}", path.display()) };
    let profile: LinuxSeccomp = serde_json::from_slice(&text).map_err(invalid)?;
    serde_json::to_value(profile).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value) -> Vec<&str> {
        let rules = profile["syscalls"].as_array().unwrap().iter();
        let allowed = rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        allowed
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap())
            .collect()
    }

    #[test]
    fn capabilities_open_system_calls() {
        let without = default_profile(|_| false);
        assert!(names(&without).contains(&"openat2") && names(&without).contains(&"clone"));
        for name in
            ["mount", "unshare", "bpf", "ptrace_all", "clone3", "keyctl", "userfaultfd", "io_uring_setup"]
        {
            assert!(!names(&without).contains(&name), "{name}");
        }
        let admin = default_profile(|name| name == "SYS_ADMIN");
        for name in ["mount", "unshare", "bpf", "clone3"] {
            assert!(names(&admin).contains(&name), "{name}");
        }
        assert!(!admin.to_string().contains("MASKED_EQ"));
    }

    #[test]
    fn the_profile_is_a_valid_one() {
        let profile = default_profile(|_| false);
        let typed: LinuxSeccomp = serde_json::from_value(profile.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), profile);
    }

    #[test]
    fn no_name_is_listed_twice() {
        let mut all = table::ALWAYS.to_vec();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_file_is_read_and_a_bad_one_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        std::fs::write(&path, r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#).unwrap();
        assert_eq!(load(&path).unwrap()["defaultAction"], "SCMP_ACT_ALLOW");
        std::fs::write(&path, r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("p.json"));
        assert!(load(&dir.path().join("absent")).is_err());
    }
}
