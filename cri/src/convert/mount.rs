//! Mounts and devices of a container.

use std::path::{Path, PathBuf};

use reeve_engine::{Device, Mount, Propagation};
use reeve_proto::cri::{self, MountPropagation};

use super::fault::Fault;
use crate::kernel;

/// The engine's mount for the one at `index` of the request.
pub(crate) fn to_engine(index: usize, mount: &cri::Mount) -> Result<Mount, Fault> {
    let field = format!("config.mounts[{index}]");
    refuse_what_is_missing(&field, mount)?;
    let propagation = propagation(&field, mount.propagation)?;
    if mount.recursive_read_only && !(mount.readonly && propagation == Propagation::Private) {
        return Err(Fault::invalid(
            format!("{field}.recursive_read_only"),
            "needs readonly and PROPAGATION_PRIVATE",
        ));
    }
    Ok(Mount {
        host_path: absolute(&format!("{field}.host_path"), &mount.host_path)?,
        container_path: absolute(&format!("{field}.container_path"), &mount.container_path)?,
        readonly: mount.readonly,
        recursive_readonly: mount.recursive_read_only,
        propagation,
    })
}

fn refuse_what_is_missing(field: &str, mount: &cri::Mount) -> Result<(), Fault> {
    if mount.image.is_some() || !mount.image_sub_path.is_empty() {
        return Err(Fault::unsupported(format!("{field}.image"), "only paths of the host can be mounted"));
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(Fault::unsupported(
            format!("{field}.uidMappings"),
            "pods run in the host's user namespace",
        ));
    }
    if !mount.mount_options.is_empty() {
        return Err(Fault::unsupported(
            format!("{field}.mount_options"),
            format!("only readonly and propagation can be chosen, not {}", mount.mount_options.join(",")),
        ));
    }
    // Without SELinux there is nothing to label, and the kubelet asks for it whatever the host is.
    if mount.selinux_relabel && kernel::has_selinux() {
        return Err(Fault::unsupported(format!("{field}.selinux_relabel"), "files are not labelled"));
    }
    Ok(())
}

fn absolute(field: &str, path: &str) -> Result<PathBuf, Fault> {
    if path.is_empty() {
        return Err(Fault::missing(field));
    }
    if !Path::new(path).is_absolute() {
        return Err(Fault::invalid(field, format!("{path:?} is not absolute")));
    }
    Ok(PathBuf::from(path))
}

fn propagation(field: &str, value: i32) -> Result<Propagation, Fault> {
    match MountPropagation::try_from(value) {
        Ok(MountPropagation::PropagationPrivate) => Ok(Propagation::Private),
        Ok(MountPropagation::PropagationHostToContainer) => Ok(Propagation::HostToContainer),
        Ok(MountPropagation::PropagationBidirectional) => Ok(Propagation::Bidirectional),
        Err(_) => Err(Fault::invalid(format!("{field}.propagation"), format!("{value} is no propagation"))),
    }
}

/// CRI's words for a mount.
pub(crate) fn to_cri(mount: &Mount) -> cri::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => MountPropagation::PropagationBidirectional,
    };
    cri::Mount {
        container_path: mount.container_path.to_string_lossy().into_owned(),
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.readonly,
        recursive_read_only: mount.recursive_readonly,
        propagation: propagation as i32,
        ..cri::Mount::default()
    }
}

/// The engine's device for the one at `index` of the request.
pub(crate) fn device_to_engine(index: usize, device: &cri::Device) -> Result<Device, Fault> {
    let field = format!("config.devices[{index}]");
    if let Some(other) = device.permissions.chars().find(|c| !"rwm".contains(*c)) {
        return Err(Fault::invalid(
            format!("{field}.permissions"),
            format!("{other:?} is none of r, w and m"),
        ));
    }
    let host_path = absolute(&format!("{field}.host_path"), &device.host_path)?;
    let container_path = if device.container_path.is_empty() {
        host_path.clone()
    } else {
        absolute(&format!("{field}.container_path"), &device.container_path)?
    };
    Ok(Device { host_path, container_path, permissions: device.permissions.clone() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn plain() -> cri::Mount {
        cri::Mount {
            host_path: "/srv".to_owned(),
            container_path: "/data".to_owned(),
            propagation: MountPropagation::PropagationHostToContainer as i32,
            readonly: true,
            ..Default::default()
        }
    }

    #[test]
    fn mounts_survive_the_round_trip() {
        assert_eq!(to_cri(&to_engine(0, &plain()).unwrap()), plain());
    }

    #[test]
    fn recursion_needs_a_private_read_only_mount() {
        let mut mount = plain();
        mount.recursive_read_only = true;
        assert!(to_engine(0, &mount).is_err());
        mount.propagation = MountPropagation::PropagationPrivate as i32;
        assert!(to_engine(0, &mount).unwrap().recursive_readonly);
        mount.readonly = false;
        assert!(to_engine(0, &mount).is_err());
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let faulty = [
            (cri::Mount { image: Some(cri::ImageSpec::default()), ..plain() }, "config.mounts[3].image"),
            (
                cri::Mount { mount_options: vec!["noexec".to_owned()], ..plain() },
                "config.mounts[3].mount_options",
            ),
            (
                cri::Mount { uid_mappings: vec![cri::IdMapping::default()], ..plain() },
                "config.mounts[3].uidMappings",
            ),
            (cri::Mount { container_path: "data".to_owned(), ..plain() }, "config.mounts[3].container_path"),
            (cri::Mount { propagation: 9, ..plain() }, "config.mounts[3].propagation"),
        ];
        for (mount, field) in faulty {
            let fault = to_engine(3, &mount).unwrap_err().to_string();
            assert!(fault.starts_with(field), "{fault}");
        }
    }

    #[test]
    fn a_device_keeps_its_path_unless_told_otherwise() {
        let device = cri::Device {
            host_path: "/dev/fuse".to_owned(),
            permissions: "rw".to_owned(),
            ..Default::default()
        };
        assert_eq!(device_to_engine(0, &device).unwrap().container_path, Path::new("/dev/fuse"));
        let device = cri::Device { permissions: "rx".to_owned(), ..device };
        assert!(device_to_engine(0, &device).is_err());
    }
}
