//! `linux.resources` written to the cgroup.

use std::path::Path;

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager,
};
use libcgroups::v2::manager::Manager;
use oci_spec::runtime::LinuxResources;

use super::{Cgroup, devices, failed, limits_v1, write};
use crate::{Error, spec};

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
    spec::check_resources(resources, unified)?;
    for key in resources.unified().iter().flatten().map(|(key, _)| key) {
        if key.contains('/') || !key.contains('.') {
            let field = format!("linux.resources.unified[{key:?}]");
            return Err(Error::config(field, "is no file of a cgroup"));
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
