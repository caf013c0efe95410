use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Resources;

/// Who a container is to its caller; unique within its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMetadata {
    /// Name within the pod.
    pub name: String,
    /// Counts the containers made for that name, from 0.
    pub attempt: u32,
}

/// How mounts made on one side of a bind mount reach the other (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Neither way.
    #[default]
    Private,
    /// From the host into the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

/// A directory or file of the host bound into the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// Path on the host; made as a directory when it is missing.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Not writable in the container.
    pub readonly: bool,
    /// With `readonly`: what is mounted below it is not writable either.
    pub recursive_readonly: bool,
    /// Which way later mounts travel.
    pub propagation: Propagation,
}

/// A device of the host, or a directory of devices, made in the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Path on the host.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Of `r`, `w` and `m`; all when empty.
    pub permissions: String,
}

/// Which PID namespace a container lives in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidNamespace {
    /// The sandbox's shared one when it has one, otherwise one of its own.
    #[default]
    Sandbox,
    /// One of its own.
    Container,
    /// The host's.
    Host,
    /// That of another container of the sandbox, by id.
    Target(String),
}

/// Which system calls are allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The engine's own default profile.
    RuntimeDefault,
    /// All.
    #[default]
    Unconfined,
    /// As the OCI (or Docker) profile in a file of the host says.
    Localhost(PathBuf),
}

/// Whom a container runs as, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// All capabilities and devices, no confinement.
    pub privileged: bool,
    /// User id; wins over `run_as_username`.
    pub run_as_user: Option<i64>,
    /// Name of a user in the image's /etc/passwd. Both absent: the image's user.
    pub run_as_username: Option<String>,
    /// Group id; needs a user.
    pub run_as_group: Option<i64>,
    /// Further group ids.
    pub supplemental_groups: Vec<i64>,
    /// Only `supplemental_groups`: memberships in the image's /etc/group do not count.
    pub strict_supplemental_groups: bool,
    /// The root filesystem is not writable.
    pub readonly_rootfs: bool,
    /// No gain of privileges by execve.
    pub no_new_privs: bool,
    /// Capabilities beyond the default ones, with or without `CAP_`, or `ALL`.
    pub add_capabilities: Vec<String>,
    /// Capabilities taken away, or `ALL`; `add_capabilities` wins over `ALL` here.
    pub drop_capabilities: Vec<String>,
    /// Capabilities that also a user other than root keeps over execve.
    pub add_ambient_capabilities: Vec<String>,
    /// Paths made unreadable; absent: the default ones.
    pub masked_paths: Option<Vec<String>>,
    /// Paths made unwritable; absent: the default ones.
    pub readonly_paths: Option<Vec<String>>,
    /// Which system calls are allowed.
    pub seccomp: Seccomp,
    /// AppArmor profile; empty: none.
    pub apparmor_profile: String,
    /// Which PID namespace.
    pub pid: PidNamespace,
}

/// A container as its caller wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Who it is.
    pub metadata: ContainerMetadata,
    /// Reference or id of its image, which is there already.
    pub image: String,
    /// Replaces the image's entry point (and its command) when not empty.
    pub command: Vec<String>,
    /// Replaces the image's command when not empty.
    pub args: Vec<String>,
    /// Replaces the image's working directory when not empty.
    pub working_dir: String,
    /// Environment over the image's.
    pub env: Vec<(String, String)>,
    /// Bind mounts.
    pub mounts: Vec<Mount>,
    /// Devices.
    pub devices: Vec<Device>,
    /// The caller's labels, kept as they are.
    pub labels: BTreeMap<String, String>,
    /// The caller's annotations, kept as they are.
    pub annotations: BTreeMap<String, String>,
    /// Log file, relative to the sandbox's log directory; empty: no log.
    pub log_path: PathBuf,
    /// Stdin can be attached to; otherwise it is /dev/null.
    pub stdin: bool,
    /// Stdin ends when the first that attached has gone.
    pub stdin_once: bool,
    /// Runs on a terminal of its own.
    pub tty: bool,
    /// Limits.
    pub resources: Resources,
    /// Whom it runs as, and what it may do.
    pub security: Security,
    /// Signal that asks it to end, by name or number; empty: the image's, or SIGTERM.
    pub stop_signal: String,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its first process lives.
    Running,
    /// Its first process has ended, or could not be started.
    Exited,
    /// Its shim does not answer.
    Unknown,
}

/// A container as it is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Sandbox that it is part of.
    pub sandbox_id: String,
    /// As it was asked for.
    pub spec: Arc<ContainerSpec>,
    /// Limits as they are now: those of the spec, with later updates.
    pub resources: Arc<Resources>,
    /// Id of the image (digest of its configuration).
    pub image_id: String,
    /// A name of the image that holds its content fast: a digest reference where there is one.
    pub image_ref: String,
    /// Where it is in its life.
    pub state: ContainerState,
    /// When it was asked for, in nanoseconds since 1970.
    pub created_at: i64,
    /// When its program began; 0: never.
    pub started_at: i64,
    /// When it ended; 0: not yet.
    pub finished_at: i64,
    /// 0–255, 128 + signal where a signal ended it.
    pub exit_code: i32,
    /// Why it ended: `Completed`, `Error`, `OOMKilled`, `StartError` or `Unknown`; empty while it has not.
    pub reason: String,
    /// More about the reason, for a person.
    pub message: String,
    /// Absolute path of its log; empty: none.
    pub log_path: PathBuf,
    /// First process, in the host's PID namespace; 0 when there is none.
    pub pid: u32,
    /// User id that it runs as.
    pub uid: u32,
    /// Primary group id that it runs as.
    pub gid: u32,
    /// Further group ids.
    pub groups: Arc<Vec<u32>>,
    /// Number of the signal that asks it to end.
    pub stop_signal: i32,
}
