//! The security context of a container.

use std::path::PathBuf;

use reeve_engine::{SandboxSpec, Seccomp, Security};
use reeve_proto::cri::{self, SupplementalGroupsPolicy, security_profile::ProfileType};

use super::fault::Fault;
use super::namespace;
use crate::kernel;

const PREFIX: &str = "config.linux.security_context";

/// The engine's security settings for a container in the sandbox of `sandbox`.
pub(crate) fn to_engine(
    context: Option<&cri::LinuxContainerSecurityContext>,
    sandbox: &SandboxSpec,
) -> Result<Security, Fault> {
    let Some(context) = context else {
        return Ok(Security { pid: namespace::of_container(None, sandbox)?, ..Security::default() });
    };
    if context.privileged && !sandbox.privileged {
        return Err(Fault::invalid(
            format!("{PREFIX}.privileged"),
            "the sandbox was not made for privileged containers",
        ));
    }
    check_selinux(PREFIX, context.selinux_options.as_ref())?;
    let capabilities = context.capabilities.clone().unwrap_or_default();
    Ok(Security {
        privileged: context.privileged,
        run_as_user: id(&format!("{PREFIX}.run_as_user"), context.run_as_user)?,
        run_as_username: (!context.run_as_username.is_empty()).then(|| context.run_as_username.clone()),
        run_as_group: run_as_group(context)?,
        supplemental_groups: context.supplemental_groups.clone(),
        strict_supplemental_groups: is_strict(PREFIX, context.supplemental_groups_policy)?,
        readonly_rootfs: context.readonly_rootfs,
        no_new_privs: context.no_new_privs,
        add_capabilities: capabilities.add_capabilities,
        drop_capabilities: capabilities.drop_capabilities,
        add_ambient_capabilities: capabilities.add_ambient_capabilities,
        // An empty list masks nothing: it is how the kubelet says procMount Unmasked.
        masked_paths: Some(context.masked_paths.clone()),
        readonly_paths: Some(context.readonly_paths.clone()),
        seccomp: seccomp(context)?,
        apparmor_profile: apparmor(context)?,
        pid: namespace::of_container(context.namespace_options.as_ref(), sandbox)?,
    })
}

/// Labels mean nothing on a host without SELinux, and there the kubelet may send them all the same.
pub(crate) fn check_selinux(prefix: &str, options: Option<&cri::SeLinuxOption>) -> Result<(), Fault> {
    let Some(options) = options.filter(|options| **options != cri::SeLinuxOption::default()) else {
        return Ok(());
    };
    let field = format!("{prefix}.selinux_options");
    if kernel::has_selinux() {
        return Err(Fault::unsupported(field, "processes are not labelled"));
    }
    tracing::warn!(field, level = options.level, "ignored: this host has no SELinux");
    Ok(())
}

pub(crate) fn is_strict(prefix: &str, policy: i32) -> Result<bool, Fault> {
    match SupplementalGroupsPolicy::try_from(policy) {
        Ok(policy) => Ok(policy == SupplementalGroupsPolicy::Strict),
        Err(_) => Err(Fault::invalid(
            format!("{prefix}.supplemental_groups_policy"),
            format!("{policy} is no policy"),
        )),
    }
}

/// A user or group id as the kernel counts them.
pub(crate) fn id(field: &str, value: Option<cri::Int64Value>) -> Result<Option<i64>, Fault> {
    let Some(cri::Int64Value { value }) = value else {
        return Ok(None);
    };
    // The largest is the kernel's word for "leave it as it is" (setresuid(2)).
    if (0..i64::from(u32::MAX)).contains(&value) {
        Ok(Some(value))
    } else {
        Err(Fault::invalid(field, format!("{value} is not an id")))
    }
}

fn run_as_group(context: &cri::LinuxContainerSecurityContext) -> Result<Option<i64>, Fault> {
    let field = format!("{PREFIX}.run_as_group");
    let group = id(&field, context.run_as_group)?;
    if group.is_some() && context.run_as_user.is_none() && context.run_as_username.is_empty() {
        return Err(Fault::invalid(field, "needs run_as_user or run_as_username"));
    }
    Ok(group)
}

fn seccomp(context: &cri::LinuxContainerSecurityContext) -> Result<Seccomp, Fault> {
    match &context.seccomp {
        Some(profile) => seccomp_profile(&format!("{PREFIX}.seccomp"), profile),
        None => {
            #[allow(deprecated)]
            let path = &context.seccomp_profile_path;
            seccomp_path(&format!("{PREFIX}.seccomp_profile_path"), path)
        }
    }
}

/// The typed profile.
pub(crate) fn seccomp_profile(field: &str, profile: &cri::SecurityProfile) -> Result<Seccomp, Fault> {
    match profile_type(field, profile)? {
        ProfileType::RuntimeDefault => Ok(Seccomp::RuntimeDefault),
        ProfileType::Unconfined => Ok(Seccomp::Unconfined),
        ProfileType::Localhost => localhost_file(&format!("{field}.localhost_ref"), &profile.localhost_ref),
    }
}

/// The deprecated field, which old clients still send alone.
pub(crate) fn seccomp_path(field: &str, path: &str) -> Result<Seccomp, Fault> {
    match path {
        "" | "unconfined" => Ok(Seccomp::Unconfined),
        "runtime/default" | "docker/default" => Ok(Seccomp::RuntimeDefault),
        other => match other.strip_prefix("localhost/") {
            Some(file) => localhost_file(field, file),
            None => Err(Fault::invalid(field, format!("{other:?} is no profile"))),
        },
    }
}

fn localhost_file(field: &str, path: &str) -> Result<Seccomp, Fault> {
    if path.starts_with('/') {
        Ok(Seccomp::Localhost(PathBuf::from(path)))
    } else {
        Err(Fault::invalid(field, format!("{path:?} is not an absolute path")))
    }
}

fn profile_type(field: &str, profile: &cri::SecurityProfile) -> Result<ProfileType, Fault> {
    ProfileType::try_from(profile.profile_type).map_err(|_| {
        Fault::invalid(format!("{field}.profile_type"), format!("{} is no type", profile.profile_type))
    })
}

fn apparmor(context: &cri::LinuxContainerSecurityContext) -> Result<String, Fault> {
    let field = format!("{PREFIX}.apparmor");
    let name = match &context.apparmor {
        Some(profile) => match profile_type(&field, profile)? {
            ProfileType::Unconfined => "",
            ProfileType::RuntimeDefault => "runtime/default",
            ProfileType::Localhost if profile.localhost_ref.is_empty() => {
                return Err(Fault::missing(format!("{field}.localhost_ref")));
            }
            ProfileType::Localhost => profile.localhost_ref.as_str(),
        },
        None => {
            #[allow(deprecated)]
            let profile = context.apparmor_profile.as_str();
            if profile == "unconfined" { "" } else { profile }
        }
    };
    match name {
        "" => Ok(String::new()),
        "runtime/default" => {
            if kernel::has_apparmor() {
                tracing::warn!(field, "ignored: this runtime has no AppArmor profile of its own");
            }
            Ok(String::new())
        }
        _ if !kernel::has_apparmor() => Err(Fault::unsupported(field, "this host has no AppArmor")),
        name => Ok(name.strip_prefix("localhost/").unwrap_or(name).to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_group_needs_a_user() {
        let group = |user: Option<i64>| cri::LinuxContainerSecurityContext {
            run_as_user: user.map(|value| cri::Int64Value { value }),
            run_as_group: Some(cri::Int64Value { value: 7 }),
            ..Default::default()
        };
        assert!(to_engine(Some(&group(None)), &SandboxSpec::default()).is_err());
        let security = to_engine(Some(&group(Some(1000))), &SandboxSpec::default()).unwrap();
        assert_eq!((security.run_as_user, security.run_as_group), (Some(1000), Some(7)));
    }

    #[test]
    fn privilege_must_be_announced_by_the_sandbox() {
        let context = cri::LinuxContainerSecurityContext { privileged: true, ..Default::default() };
        assert!(to_engine(Some(&context), &SandboxSpec::default()).is_err());
        let sandbox = SandboxSpec { privileged: true, ..Default::default() };
        assert!(to_engine(Some(&context), &sandbox).unwrap().privileged);
    }

    #[test]
    fn without_a_context_the_default_masks_apply() {
        assert_eq!(to_engine(None, &SandboxSpec::default()).unwrap().masked_paths, None);
        let context = cri::LinuxContainerSecurityContext::default();
        assert_eq!(
            to_engine(Some(&context), &SandboxSpec::default()).unwrap().masked_paths,
            Some(Vec::new())
        );
    }

    #[test]
    fn both_ways_to_name_a_seccomp_profile_mean_the_same() {
        let file = Seccomp::Localhost("/p.json".into());
        assert_eq!(seccomp_path("f", "localhost//p.json").unwrap(), file);
        let profile = cri::SecurityProfile {
            profile_type: ProfileType::Localhost as i32,
            localhost_ref: "/p.json".to_owned(),
        };
        assert_eq!(seccomp_profile("f", &profile).unwrap(), file);
        assert_eq!(seccomp_path("f", "").unwrap(), Seccomp::Unconfined);
        assert_eq!(seccomp_path("f", "runtime/default").unwrap(), Seccomp::RuntimeDefault);
        assert!(seccomp_path("f", "localhost/relative.json").is_err());
    }

    #[test]
    fn ids_are_those_of_the_kernel() {
        let of = |value| id("f", Some(cri::Int64Value { value }));
        assert_eq!(of(0).unwrap(), Some(0));
        assert!(of(-1).is_err());
        assert!(of(i64::from(u32::MAX)).is_err());
    }
}
