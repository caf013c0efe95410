//! Making a sandbox: network, files, /dev/shm, cgroup, shim.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cgroup::CgroupPath;
use crate::engine::inner::{Inner, blocking, make_dir, make_private_dir, new_id, now};
use crate::engine::sandbox::files;
use crate::engine::state::SandboxEntry;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::process::ProcessId;
use crate::shim::{Client, Launch};
use crate::store::{SandboxPhase, SandboxRecord};
use crate::types::{EventKind, SandboxSpec};

impl Inner {
    /// Makes a sandbox. When a step fails, what was made is taken down again.
    pub(crate) async fn run_sandbox(self: &Arc<Self>, spec: SandboxSpec) -> Result<String> {
        let entry = self.reserve_sandbox(spec)?;
        let _operation = entry.operation.write().await;
        match self.make_sandbox(&entry).await {
            Ok(process) => {
                self.watch(&entry, process);
                self.publish(EventKind::SandboxCreated, &entry.id, "");
                Ok(entry.id.clone())
            }
            Err(error) => {
                tracing::warn!(sandbox = entry.id, "cannot run sandbox: {}", crate::error::chain(&error));
                if let Err(error) = self.take_down(&entry).await {
                    tracing::warn!(sandbox = entry.id, "{}", crate::error::chain(&error));
                }
                self.forget_sandbox(&entry).await?;
                Err(error)
            }
        }
    }

    fn reserve_sandbox(&self, spec: SandboxSpec) -> Result<Arc<SandboxEntry>> {
        if !matches!(spec.runtime_handler.as_str(), "" | "reeve") {
            let problem = format!("{:?} is not known here: there is only \"reeve\"", spec.runtime_handler);
            return Err(Error::Invalid { field: "runtime_handler", problem });
        }
        let id = new_id();
        let (default, systemd) = (&self.config.cgroup_parent, self.config.systemd_cgroup);
        let mut cgroup = CgroupPath::new(&spec.cgroup_parent, default, &id, systemd)?;
        cgroup.own &= !self.hierarchies.exists(cgroup.dir());
        let metadata = spec.metadata.clone();
        let record = SandboxRecord {
            id: id.clone(),
            spec: Arc::new(spec),
            phase: SandboxPhase::Creating,
            created_at: now(),
            ips: Vec::new(),
            shim: None,
            pod_init: 0,
            cgroup,
        };
        let entry = SandboxEntry::new(record, Client::new(self.config.shim_dir(&id)));
        let taken = |other: &SandboxEntry| other.record.get().spec.metadata == metadata;
        self.sandboxes.reserve(entry, taken).map_err(|id| {
            let name =
                format!("{}_{}_{}_{}", metadata.namespace, metadata.name, metadata.uid, metadata.attempt);
            Error::NameInUse { kind: "sandbox", name, id }
        })
    }

    async fn make_sandbox(&self, entry: &SandboxEntry) -> Result<ProcessId> {
        let record = entry.record.get();
        self.store.put(&*record).await?;
        failpoint::pass("run_sandbox.after_intent");
        let (dirs, log_directory) = (self.dirs(&entry.id), record.spec.log_directory.clone());
        blocking(move || make_dirs(&dirs, log_directory)).await?;
        failpoint::pass("run_sandbox.after_dirs");

        let mut netns = None;
        if !record.spec.host_network {
            let attachment = self.network.attach(&entry.id, &record.spec.ports).await?;
            entry.record.change(&self.store, |record| record.ips = attachment.ips).await?;
            netns = Some(attachment.netns);
        }
        failpoint::pass("run_sandbox.after_network");
        let (dir, record) = (self.config.sandbox_dir(&entry.id), entry.record.get());
        let (spec, ips) = (record.spec.clone(), record.ips.clone());
        let hierarchies = self.hierarchies.clone();
        let cgroup = record.cgroup.clone();
        blocking(move || {
            files::write(&dir, &spec, &ips)?;
            failpoint::pass("run_sandbox.after_files");
            if !spec.host_ipc {
                files::mount_shm(&dir)?;
            }
            failpoint::pass("run_sandbox.after_shm");
            if cgroup.is_slice() { Ok(()) } else { hierarchies.make(cgroup.dir()) }
        })
        .await?;
        failpoint::pass("run_sandbox.after_cgroup");
        self.start_shim(entry, netns).await
    }

    async fn start_shim(&self, entry: &SandboxEntry, netns: Option<PathBuf>) -> Result<ProcessId> {
        let spec = entry.record.get().spec.clone();
        let own_uts = !spec.host_network;
        let launch = Launch {
            program: self.config.shim.clone(),
            id: entry.id.clone(),
            dir: self.config.shim_dir(&entry.id),
            netns,
            hostname: Some(spec.hostname.clone()).filter(|name| own_uts && !name.is_empty()),
            share_pid: spec.share_pid,
            host_ipc: spec.host_ipc,
            host_uts: !own_uts,
            sysctls: spec.sysctls.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            systemd_cgroup: self.config.systemd_cgroup,
        };
        let (process, starting) = launch.spawn().await?;
        failpoint::pass("run_sandbox.after_spawn");
        // On record at once, so that a failure from here on finds whom to end.
        entry.record.change(&self.store, |record| record.shim = Some(process)).await?;
        starting.ready().await?;
        let pong = entry.shim.ping().await?;
        failpoint::pass("run_sandbox.after_shim");
        let outcome = |record: &mut SandboxRecord| {
            record.pod_init = pong.pod_init_pid;
            record.phase = SandboxPhase::Ready;
        };
        entry.record.change(&self.store, outcome).await?;
        failpoint::pass("run_sandbox.after_outcome");
        Ok(process)
    }

    /// The sandbox's own directories.
    pub(super) fn dirs(&self, id: &str) -> [PathBuf; 2] {
        [self.config.sandbox_dir(id), self.config.shim_dir(id)]
    }
}

fn make_dirs(dirs: &[PathBuf], log_directory: PathBuf) -> Result<()> {
    for dir in dirs {
        make_private_dir(dir)?;
    }
    if !log_directory.as_os_str().is_empty() {
        make_dir(&log_directory)?;
    }
    Ok(())
}
