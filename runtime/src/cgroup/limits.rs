//! `linux.resources` written to the cgroup.

use std::path::Path;

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager,
};
use libcgroups::v2::manager::Manager;
use oci_spec::runtime::LinuxResources;

use super::{Cgroup, devices, failed, limits_v1, write};
use crate::Error;

impl Cgroup {
    /// Applies the limits of a new container, devices included.
    pub(crate) fn limit(&self, resources: Option<&LinuxResources>) -> Result<(), Error> {
        let rules = devices::rules(
            resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default(),
        )?;
        self.set_devices(&rules)?;
        resources.map_or(Ok(()), |resources| self.set(resources))
    }

    /// Applies changed limits; what is absent stays.
    pub(crate) fn update(&self, resources: &LinuxResources) -> Result<(), Error> {
        check(resources, self.unified)?;
        if let Some(asked) = resources.devices() {
            self.set_devices(&devices::rules(asked)?)?;
        }
        self.set(resources)
    }

    fn set(&self, resources: &LinuxResources) -> Result<(), Error> {
        if !self.unified {
            return limits_v1::apply(self, resources);
        }
        let options =
            ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
        if let Some(name) = &self.systemd {
            let manager = systemd_manager(name)?;
            return manager.apply(&options).map_err(|error| failed(Path::new(name), error));
        }
        for hierarchy in &self.hierarchies {
            let manager = Manager::new(hierarchy.mount.clone(), self.path.clone())
                .map_err(|error| failed(&self.path, error))?;
            manager.apply(&options).map_err(|error| failed(&self.path, error))?;
            forbid_swap(&self.directory(hierarchy), resources)?;
        }
        Ok(())
    }
}

/// Swap equal to memory means no swap at all. libcgroups takes the difference, zero, for "leave it".
fn forbid_swap(directory: &Path, resources: &LinuxResources) -> Result<(), Error> {
    let Some(memory) = resources.memory() else { return Ok(()) };
    let file = directory.join("memory.swap.max");
    let equal = memory.limit().is_some_and(|limit| limit > 0 && memory.swap() == Some(limit));
    if equal && file.exists() { write(&file, "0") } else { Ok(()) }
}

/// libcgroups' manager of the systemd scope `slice:prefix:name`.
pub(super) fn systemd_manager(name: &str) -> Result<AnyCgroupManager, Error> {
    let container_name = name.rsplit(':').next().unwrap_or(name).to_owned();
    let config = CgroupConfig { cgroup_path: name.into(), systemd_cgroup: true, container_name };
    create_cgroup_manager(config).map_err(|error| failed(Path::new(name), error))
}

/// Refuses what would not be applied, by field.
pub(crate) fn check(resources: &LinuxResources, unified: bool) -> Result<(), Error> {
    let refuse = |field: &str, reason: &str| Err(Error::config(format!("linux.resources.{field}"), reason));
    if let Some(memory) = resources.memory() {
        if memory.kernel().is_some_and(|value| value != 0) {
            return refuse("memory.kernel", "kernel memory limits are gone from Linux");
        }
        if memory.check_before_update() == Some(true) {
            return refuse("memory.checkBeforeUpdate", "is not implemented");
        }
        if memory.use_hierarchy() == Some(false) {
            return refuse("memory.useHierarchy", "memory is always accounted hierarchically");
        }
        if unified && memory.kernel_tcp().is_some_and(|value| value != 0) {
            return refuse("memory.kernelTCP", "is not in cgroup v2");
        }
        if unified && memory.swappiness().is_some() {
            return refuse("memory.swappiness", "is not in cgroup v2");
        }
        if unified && memory.disable_oom_killer() == Some(true) {
            return refuse("memory.disableOOMKiller", "is not in cgroup v2");
        }
    }
    if resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty()) {
        return refuse("rdma", "is not implemented");
    }
    if let Some(network) = resources.network()
        && unified
        && (network.class_id().is_some_and(|id| id != 0)
            || network.priorities().as_ref().is_some_and(|list| !list.is_empty()))
    {
        return refuse("network", "is not in cgroup v2");
    }
    if let Some(io) = resources.block_io()
        && io.leaf_weight().is_some_and(|weight| weight != 0)
    {
        return refuse("blockIO.leafWeight", "is not in the kernel's schedulers any more");
    }
    let keys = resources.unified().iter().flatten();
    for (key, _) in keys {
        if !unified {
            return refuse("unified", "needs cgroup v2");
        }
        if key.contains('/') || !key.contains('.') {
            return refuse(&format!("unified[{key:?}]"), "is no file of a cgroup");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_applied_is_refused_by_field() {
        let refused = |json: &str, unified: bool| {
            check(&serde_json::from_str(json).expect("json"), unified).err().map(|error| error.to_string())
        };
        assert_eq!(refused(r#"{"memory":{"limit":1},"pids":{"limit":3}}"#, false), None);
        for (json, unified, field) in [
            (r#"{"memory":{"kernel":4096}}"#, false, "memory.kernel"),
            (r#"{"memory":{"swappiness":1}}"#, true, "memory.swappiness"),
            (r#"{"unified":{"memory.max":"1"}}"#, false, "unified"),
            (r#"{"unified":{"../x.y":"1"}}"#, true, "unified"),
            (r#"{"network":{"classID":1}}"#, true, "network"),
        ] {
            let text = refused(json, unified).expect(json);
            assert!(text.contains(field), "{text}");
        }
    }
}
