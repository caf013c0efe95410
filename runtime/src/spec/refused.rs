//! Fields that the runtime does nothing for: a configuration in which one of them says something is refused.
//!
//! docs/compat-oci.md lists the same; a test compares the two.

use oci_spec::runtime::{Linux, LinuxResources, Mount, Process, Spec};

use crate::Error;

/// One field.
struct Refused {
    /// Its path in config.json; `[]` stands for any element.
    field: &'static str,
    reason: &'static str,
    asks: Asks,
}

/// Whether the object that holds the field has something in it.
enum Asks {
    Spec(fn(&Spec) -> bool),
    Process(fn(&Process) -> bool),
    Mount(fn(&Mount) -> bool),
    Linux(fn(&Linux) -> bool),
    Resources(On, fn(&LinuxResources) -> bool),
}

/// The versions of cgroups on which a limit is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Both,
    V1,
    V2,
}

const OTHER_PLATFORM: &str = "is for another platform";
const NO_ID_MAPS: &str = "id-mapped mounts are not implemented";
const NOT_IN_V2: &str = "is not in cgroup v2";
const NO_LEAVES: &str = "is not in the kernel's schedulers any more";

const fn refused(field: &'static str, reason: &'static str, asks: Asks) -> Refused {
    Refused { field, reason, asks }
}

const TABLE: [Refused; 26] = [
    refused("solaris", OTHER_PLATFORM, Asks::Spec(|spec| spec.solaris().is_some())),
    refused("windows", OTHER_PLATFORM, Asks::Spec(|spec| spec.windows().is_some())),
    refused("vm", OTHER_PLATFORM, Asks::Spec(|spec| spec.vm().is_some())),
    refused("zos", OTHER_PLATFORM, Asks::Spec(|spec| spec.zos().is_some())),
    refused("process.commandLine", OTHER_PLATFORM, Asks::Process(|process| text(process.command_line()))),
    refused(
        "process.selinuxLabel",
        "SELinux labels are not implemented",
        Asks::Process(|process| text(process.selinux_label())),
    ),
    refused("mounts[].uidMappings", NO_ID_MAPS, Asks::Mount(|mount| list(mount.uid_mappings()))),
    refused("mounts[].gidMappings", NO_ID_MAPS, Asks::Mount(|mount| list(mount.gid_mappings()))),
    refused(
        "linux.netDevices",
        "moving network devices is not implemented",
        Asks::Linux(|linux| linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ),
    refused(
        "linux.mountLabel",
        "SELinux labels are not implemented",
        Asks::Linux(|linux| text(linux.mount_label())),
    ),
    refused(
        "linux.intelRdt",
        "cache and bandwidth allocation is not implemented",
        Asks::Linux(|linux| linux.intel_rdt().is_some()),
    ),
    refused(
        "linux.memoryPolicy",
        "NUMA memory policies are not implemented",
        Asks::Linux(|linux| linux.memory_policy().is_some()),
    ),
    refused(
        "linux.personality.flags",
        "runtime-spec defines no flag",
        Asks::Linux(|linux| linux.personality().as_ref().is_some_and(|one| list(one.flags()))),
    ),
    limit("memory.kernel", On::Both, "kernel memory limits are gone from Linux", |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.kernel().is_some_and(|value| value != 0))
    }),
    limit("memory.checkBeforeUpdate", On::Both, "is not implemented", |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.check_before_update() == Some(true))
    }),
    limit("memory.useHierarchy", On::Both, "memory is always accounted hierarchically", |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.use_hierarchy() == Some(false))
    }),
    limit("memory.kernelTCP", On::V2, NOT_IN_V2, |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.kernel_tcp().is_some_and(|value| value != 0))
    }),
    limit("memory.swappiness", On::V2, NOT_IN_V2, |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.swappiness().is_some())
    }),
    limit("memory.disableOOMKiller", On::V2, NOT_IN_V2, |resources| {
        resources.memory().as_ref().is_some_and(|memory| memory.disable_oom_killer() == Some(true))
    }),
    limit("cpu.realtimeRuntime", On::V2, NOT_IN_V2, |resources| {
        resources.cpu().as_ref().is_some_and(|cpu| cpu.realtime_runtime().is_some_and(|value| value != 0))
    }),
    limit("cpu.realtimePeriod", On::V2, NOT_IN_V2, |resources| {
        resources.cpu().as_ref().is_some_and(|cpu| cpu.realtime_period().is_some_and(|value| value != 0))
    }),
    limit("blockIO.leafWeight", On::Both, NO_LEAVES, |resources| {
        resources.block_io().as_ref().is_some_and(|io| io.leaf_weight().is_some_and(|weight| weight != 0))
    }),
    limit("blockIO.weightDevice[].leafWeight", On::Both, NO_LEAVES, |resources| {
        let devices = resources.block_io().iter().flat_map(|io| io.weight_device().iter().flatten());
        devices.into_iter().any(|device| device.leaf_weight().is_some_and(|weight| weight != 0))
    }),
    limit("network", On::V2, NOT_IN_V2, |resources| {
        resources
            .network()
            .as_ref()
            .is_some_and(|network| network.class_id().is_some_and(|id| id != 0) || list(network.priorities()))
    }),
    limit("rdma", On::Both, "is not implemented", |resources| {
        resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty())
    }),
    limit("unified", On::V1, "needs cgroup v2", |resources| {
        resources.unified().as_ref().is_some_and(|files| !files.is_empty())
    }),
];

/// A field below `linux.resources`.
const fn limit(
    field: &'static str,
    on: On,
    reason: &'static str,
    asks: fn(&LinuxResources) -> bool,
) -> Refused {
    Refused { field, reason, asks: Asks::Resources(on, asks) }
}

fn text(field: &Option<String>) -> bool {
    field.as_deref().is_some_and(|text| !text.is_empty())
}

fn list<T>(field: &Option<Vec<T>>) -> bool {
    field.as_ref().is_some_and(|list| !list.is_empty())
}

impl Refused {
    fn path(&self) -> String {
        match self.asks {
            Asks::Resources(..) => format!("linux.resources.{}", self.field),
            _ => self.field.to_owned(),
        }
    }

    fn error(&self) -> Error {
        Error::config(self.path(), self.reason)
    }
}

/// Checks a configuration but for its process and its limits.
pub(super) fn spec(spec: &Spec) -> Result<(), Error> {
    for refused in &TABLE {
        match refused.asks {
            Asks::Spec(asks) if asks(spec) => return Err(refused.error()),
            Asks::Linux(asks) if spec.linux().as_ref().is_some_and(asks) => return Err(refused.error()),
            Asks::Mount(asks) => {
                if let Some(index) = spec.mounts().iter().flatten().position(asks) {
                    let path = refused.field.replacen("[]", &format!("[{index}]"), 1);
                    return Err(Error::config(path, refused.reason));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a process object of a container or of `exec`.
pub(super) fn process(process: &Process) -> Result<(), Error> {
    let asked = |refused: &&Refused| matches!(refused.asks, Asks::Process(asks) if asks(process));
    TABLE.iter().find(asked).map_or(Ok(()), |refused| Err(refused.error()))
}

/// Checks limits, new or changed, for cgroup v2 where `unified`.
pub(crate) fn resources(resources: &LinuxResources, unified: bool) -> Result<(), Error> {
    let here = if unified { On::V2 } else { On::V1 };
    let asked = |refused: &&Refused| match refused.asks {
        Asks::Resources(on, asks) => (on == On::Both || on == here) && asks(resources),
        _ => false,
    };
    TABLE.iter().find(asked).map_or(Ok(()), |refused| Err(refused.error()))
}

#[cfg(test)]
mod tests;
