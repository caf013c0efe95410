//! The records, as they lie on disk: one byte for the format, then JSON. Fields may be added with a default;
//! anything else needs a new format and a reader for the old.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::cgroup::CgroupPath;
use crate::process::ProcessId;
use crate::types::{ContainerSpec, Resources, SandboxSpec};

const FORMAT: u8 = 1;

/// Kinds of records, as the beginning of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Sandbox,
    Container,
}

impl Key {
    fn prefix(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox/",
            Self::Container => "container/",
        }
    }

    pub(super) fn key(self, id: &str) -> String {
        format!("{}{id}", self.prefix())
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        [Self::Sandbox, Self::Container].into_iter().find(|kind| key.starts_with(kind.prefix()))
    }
}

/// Something that the store keeps under its id.
pub(crate) trait Record: Serialize + DeserializeOwned {
    const KIND: Key;
    fn id(&self) -> &str;
}

/// Where a sandbox is in its life. Written before the deed; at start-up each but the steady ones
/// (`Ready`, `Lost`, `Stopped`) says what is to be finished or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SandboxPhase {
    /// Half made: undone at start-up.
    Creating,
    Ready,
    /// Its shim has died; network and files are still there, until it is stopped.
    Lost,
    /// Half stopped: finished at start-up.
    Stopping,
    Stopped,
    /// Half removed: finished at start-up.
    Removing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub(crate) id: String,
    pub(crate) spec: Arc<SandboxSpec>,
    pub(crate) phase: SandboxPhase,
    pub(crate) created_at: i64,
    pub(crate) ips: Vec<IpAddr>,
    /// Known from `Ready` on.
    pub(crate) shim: Option<ProcessId>,
    /// Init of the pod's PID namespace; 0 without one.
    pub(crate) pod_init: u32,
    /// Parent of the containers' cgroups.
    pub(crate) cgroup: CgroupPath,
}

impl Record for SandboxRecord {
    const KIND: Key = Key::Sandbox;
    fn id(&self) -> &str {
        &self.id
    }
}

/// Where a container is in its life; as [`SandboxPhase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerPhase {
    /// Half made: undone at start-up.
    Creating,
    Created,
    /// Half started: the shim says how far it came.
    Starting,
    Running,
    Exited,
    /// Half removed: finished at start-up.
    Removing,
}

/// Numbers that a container runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Arc<Vec<u32>>,
    pub(crate) home: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) id: String,
    pub(crate) sandbox_id: String,
    pub(crate) spec: Arc<ContainerSpec>,
    pub(crate) phase: ContainerPhase,
    pub(crate) resources: Arc<Resources>,
    pub(crate) image_id: String,
    pub(crate) image_ref: String,
    /// Read-only layers of the image, the top first.
    pub(crate) lowers: Arc<Vec<PathBuf>>,
    pub(crate) user: User,
    pub(crate) stop_signal: i32,
    pub(crate) log_path: PathBuf,
    pub(crate) created_at: i64,
    pub(crate) started_at: i64,
    pub(crate) finished_at: i64,
    pub(crate) pid: u32,
    pub(crate) exit_code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// New limits are on record and perhaps not set yet.
    #[serde(default)]
    pub(crate) updating: bool,
}

impl Record for ContainerRecord {
    const KIND: Key = Key::Container;
    fn id(&self) -> &str {
        &self.id
    }
}

pub(super) fn encode(record: &impl Record) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![FORMAT];
    let damaged = |source| StoreError::Damaged { key: record.id().to_owned(), source };
    serde_json::to_writer(&mut bytes, record).map_err(damaged)?;
    Ok(bytes)
}

pub(super) fn decode<R: Record>(key: &str, bytes: &[u8]) -> Result<R, StoreError> {
    let (&version, json) = bytes.split_first().unwrap_or((&0, &[]));
    if version > FORMAT {
        return Err(StoreError::Version { key: key.to_owned(), version, known: FORMAT });
    }
    serde_json::from_slice(json).map_err(|source| StoreError::Damaged { key: key.to_owned(), source })
}
