//! From what a caller wants and what an image says to the OCI runtime specification's `config.json`.
//!
//! Everything here is a function of its arguments, but for `devices` and `mounts`, which look at the host. The
//! result is made as JSON, the form in which the specification is written and the shim reads it; the tests
//! check that the typed form of it loses nothing.

mod capabilities;
mod devices;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod seccomp;
mod seccomp_table;
mod signal;

use std::path::Path;

use serde_json::{Value, json};

use crate::error::Result;
use crate::store::{ContainerRecord, SandboxRecord};
use crate::types::Seccomp;

pub(crate) use process::{Command, exec_process, merge_command, stop_signal};
pub(crate) use resources::{oci_resources, update_resources};

/// All that a container's `config.json` depends on.
pub(crate) struct Input<'a> {
    pub(crate) container: &'a ContainerRecord,
    pub(crate) sandbox: &'a SandboxRecord,
    pub(crate) command: &'a Command,
    /// First process of the container whose PID namespace is to be joined; 0: none.
    pub(crate) target_pid: u32,
    /// Directory of the sandbox's hosts, hostname, resolv.conf and shm.
    pub(crate) sandbox_dir: &'a Path,
    /// Cgroup version 2 alone.
    pub(crate) cgroup_v2: bool,
    /// The kernel can limit swap.
    pub(crate) swap: bool,
}

/// What nobody needs to read (as Docker and containerd have it).
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What changes the host when written.
const READONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes the `config.json`.
pub(crate) fn generate(input: &Input) -> Result<Value> {
    let (container, security) = (input.container, &input.container.spec.security);
    let devices = devices::devices(&container.spec)?;
    let mut linux = json!({
        "cgroupsPath": input.sandbox.cgroup.oci(&container.id),
        "namespaces": namespaces::namespaces(input),
        "resources": oci_resources(&container.resources, &devices.rules, input.swap),
        "devices": devices.nodes,
        "maskedPaths": hidden(&security.masked_paths, MASKED, security.privileged),
        "readonlyPaths": hidden(&security.readonly_paths, READONLY, security.privileged),
    });
    let capabilities = capabilities::Capabilities::new(security)?;
    if let Some(profile) = profile(input, &capabilities)? {
        linux["seccomp"] = profile;
    }
    let mounts = mounts::mounts(input)?;
    if let Some(propagation) = mounts.root_propagation {
        linux["rootfsPropagation"] = json!(propagation);
    }
    Ok(json!({
        "ociVersion": "1.2.0",
        "process": process::process(input, &capabilities)?,
        "root": { "path": "rootfs", "readonly": security.readonly_rootfs },
        "mounts": mounts.list,
        "annotations": {
            "org.reeve.sandbox": container.sandbox_id,
            "org.reeve.name": container.spec.metadata.name,
        },
        "linux": linux,
    }))
}

fn hidden(asked: &Option<Vec<String>>, default: &[&str], privileged: bool) -> Value {
    match asked {
        _ if privileged => json!([]),
        Some(paths) => json!(paths),
        None => json!(default),
    }
}

fn profile(input: &Input, capabilities: &capabilities::Capabilities) -> Result<Option<Value>> {
    let security = &input.container.spec.security;
    match &security.seccomp {
        _ if security.privileged => Ok(None),
        Seccomp::Unconfined => Ok(None),
        Seccomp::RuntimeDefault => Ok(Some(seccomp::default_profile(|name| capabilities.holds(name)))),
        Seccomp::Localhost(path) => seccomp::load(path).map(Some),
    }
}

#[cfg(test)]
mod tests;
