//! Records for tests.

use std::path::PathBuf;
use std::sync::Arc;

use super::{ContainerPhase, ContainerRecord, SandboxPhase, SandboxRecord, User};
use crate::cgroup::CgroupPath;
use crate::process::ProcessId;
use crate::types::{ContainerSpec, SandboxSpec};

pub(crate) fn sandbox(id: &str, spec: SandboxSpec) -> SandboxRecord {
    SandboxRecord {
        id: id.into(),
        spec: Arc::new(spec),
        phase: SandboxPhase::Ready,
        created_at: 1,
        ips: vec!["10.0.0.2".parse().unwrap()],
        shim: Some(ProcessId { pid: 42, started: 7 }),
        pod_init: 43,
        cgroup: CgroupPath::new("", "/reeve", id, false).unwrap(),
    }
}

pub(crate) fn container(id: &str, sandbox: &str, spec: ContainerSpec) -> ContainerRecord {
    ContainerRecord {
        id: id.into(),
        sandbox_id: sandbox.into(),
        phase: ContainerPhase::Created,
        resources: Arc::new(spec.resources.clone()),
        spec: Arc::new(spec),
        image_id: "sha256:1".into(),
        image_ref: "registry.test/web:1".into(),
        lowers: Arc::new(vec![PathBuf::from("/layers/1/fs")]),
        user: User { uid: 10, gid: 20, groups: Arc::new(vec![20, 30]), home: "/home/web".into() },
        stop_signal: 15,
        log_path: PathBuf::new(),
        created_at: 2,
        started_at: 0,
        finished_at: 0,
        pid: 0,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        updating: false,
    }
}
