//! Security contexts.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSecurityContext, SELinuxOptions, SeccompProfile, SecurityContext,
};
use proto::security_profile::ProfileType;
use reeve_proto::cri as proto;

/// Paths of /proc and /sys that a container does not see, unless it asks for an unmasked /proc.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths it can only read.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Namespaces of a pod.
pub(crate) fn namespaces(pod: &Pod) -> proto::NamespaceOption {
    let spec = pod.spec.as_ref();
    let node = |host: Option<bool>, other: proto::NamespaceMode| {
        let mode = if host == Some(true) { proto::NamespaceMode::Node } else { other };
        mode as i32
    };
    let share = spec.is_some_and(|s| s.share_process_namespace == Some(true));
    let pid = if share { proto::NamespaceMode::Pod } else { proto::NamespaceMode::Container };
    proto::NamespaceOption {
        network: node(spec.and_then(|s| s.host_network), proto::NamespaceMode::Pod),
        ipc: node(spec.and_then(|s| s.host_ipc), proto::NamespaceMode::Pod),
        pid: node(spec.and_then(|s| s.host_pid), pid),
        ..proto::NamespaceOption::default()
    }
}

fn pod_context(pod: &Pod) -> PodSecurityContext {
    pod.spec.as_ref().and_then(|s| s.security_context.clone()).unwrap_or_default()
}

fn id(value: Option<i64>) -> Option<proto::Int64Value> {
    value.map(|value| proto::Int64Value { value })
}

fn groups(context: &PodSecurityContext) -> Vec<i64> {
    let mut groups = context.supplemental_groups.clone().unwrap_or_default();
    groups.extend(context.fs_group);
    groups
}

fn groups_policy(context: &PodSecurityContext) -> i32 {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => proto::SupplementalGroupsPolicy::Strict as i32,
        _ => proto::SupplementalGroupsPolicy::Merge as i32,
    }
}

fn seccomp(profile: Option<&SeccompProfile>) -> proto::SecurityProfile {
    match profile.map(|p| p.type_.as_str()) {
        Some("RuntimeDefault") => self::profile(ProfileType::RuntimeDefault, None),
        Some("Localhost") => {
            self::profile(ProfileType::Localhost, profile.and_then(|p| p.localhost_profile.as_ref()))
        }
        // Without a word a pod has no filter, as with a kubelet without seccompDefault.
        _ => self::profile(ProfileType::Unconfined, None),
    }
}

fn apparmor(profile: Option<&AppArmorProfile>) -> Option<proto::SecurityProfile> {
    let profile = profile?;
    Some(match profile.type_.as_str() {
        "RuntimeDefault" => self::profile(ProfileType::RuntimeDefault, None),
        "Localhost" => self::profile(ProfileType::Localhost, profile.localhost_profile.as_ref()),
        _ => self::profile(ProfileType::Unconfined, None),
    })
}

fn profile(kind: ProfileType, localhost: Option<&String>) -> proto::SecurityProfile {
    proto::SecurityProfile {
        profile_type: kind as i32,
        localhost_ref: localhost.cloned().unwrap_or_default(),
    }
}

fn selinux(options: Option<&SELinuxOptions>) -> Option<proto::SeLinuxOption> {
    options.map(|o| proto::SeLinuxOption {
        user: o.user.clone().unwrap_or_default(),
        role: o.role.clone().unwrap_or_default(),
        r#type: o.type_.clone().unwrap_or_default(),
        level: o.level.clone().unwrap_or_default(),
    })
}

/// Security context of a pod's sandbox.
pub(crate) fn sandbox_context(pod: &Pod) -> proto::LinuxSandboxSecurityContext {
    let context = pod_context(pod);
    let privileged = pod
        .spec
        .iter()
        .flat_map(|s| s.containers.iter().chain(s.init_containers.iter().flatten()))
        .any(|c| c.security_context.as_ref().is_some_and(|s| s.privileged == Some(true)));
    proto::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        selinux_options: selinux(context.se_linux_options.as_ref()),
        run_as_user: id(context.run_as_user),
        run_as_group: context.run_as_user.and_then(|_| id(context.run_as_group)),
        supplemental_groups: groups(&context),
        supplemental_groups_policy: groups_policy(&context),
        privileged,
        // The sandbox runs nothing of the user's.
        seccomp: Some(profile(ProfileType::RuntimeDefault, None)),
        ..proto::LinuxSandboxSecurityContext::default()
    }
}

/// Security context of a container; `image_user` is the user its image names.
pub(crate) fn container_context(
    c: &Container,
    pod: &Pod,
    image_user: &ImageUser,
) -> proto::LinuxContainerSecurityContext {
    let pod_wide = pod_context(pod);
    let own = c.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(pod_wide.run_as_user);
    let group = own.run_as_group.or(pod_wide.run_as_group);
    // The runtime takes a group only beside a user, so the image's user is said aloud.
    let user_id = user.or(if group.is_some() { Some(image_user.uid.unwrap_or(0)) } else { None });
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked") || own.privileged == Some(true);
    let paths =
        |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(ToString::to_string).collect() };
    let capabilities = own.capabilities.clone().unwrap_or_default();
    proto::LinuxContainerSecurityContext {
        capabilities: Some(proto::Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: own.privileged == Some(true),
        namespace_options: Some(namespaces(pod)),
        selinux_options: selinux(own.se_linux_options.as_ref().or(pod_wide.se_linux_options.as_ref())),
        run_as_user: id(user_id),
        run_as_group: id(group),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(&pod_wide),
        supplemental_groups_policy: groups_policy(&pod_wide),
        no_new_privs: no_new_privileges(&own),
        masked_paths: paths(MASKED),
        readonly_paths: paths(READ_ONLY),
        seccomp: Some(if own.privileged == Some(true) {
            profile(ProfileType::Unconfined, None)
        } else {
            seccomp(own.seccomp_profile.as_ref().or(pod_wide.seccomp_profile.as_ref()))
        }),
        apparmor: apparmor(own.app_armor_profile.as_ref().or(pod_wide.app_armor_profile.as_ref())),
        ..proto::LinuxContainerSecurityContext::default()
    }
}

fn no_new_privileges(context: &SecurityContext) -> bool {
    context.allow_privilege_escalation == Some(false)
}

/// The user of an image.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageUser {
    pub(crate) uid: Option<i64>,
    pub(crate) name: String,
}

/// Why a container that must not run as root would, or might.
pub(crate) fn runs_as_root(c: &Container, pod: &Pod, image: &ImageUser) -> Option<String> {
    let pod_wide = pod_context(pod);
    let own = c.security_context.clone().unwrap_or_default();
    if own.run_as_non_root.or(pod_wide.run_as_non_root) != Some(true) {
        return None;
    }
    match own.run_as_user.or(pod_wide.run_as_user) {
        Some(0) => Some("container's runAsUser breaks non-root policy".into()),
        Some(_) => None,
        None => match image.uid {
            Some(0) => Some("container has runAsNonRoot and image will run as root".into()),
            Some(_) => None,
            None if image.name.is_empty() => {
                Some("container has runAsNonRoot and image will run as root".into())
            }
            None => Some(format!(
                "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root",
                image.name
            )),
        },
    }
}
