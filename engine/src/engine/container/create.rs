//! Making a container: its record, a writable layer, a bundle. No process yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::image::Config as ImageConfig;
use reeve_image::Image;

use crate::engine::inner::{Inner, blocking, make_dir, make_private_dir, new_id, now};
use crate::engine::state::{ContainerEntry, SandboxEntry};
use crate::error::{Error, IoContext, Result, chain};
use crate::failpoint;
use crate::spec::{self, Command};
use crate::store::{ContainerPhase, ContainerRecord};
use crate::types::{ContainerSpec, EventKind, PidNamespace};
use crate::user;

impl Inner {
    /// Makes a container. When a step fails, what was made is taken away again.
    pub(crate) async fn create_container(&self, sandbox: &str, spec: ContainerSpec) -> Result<String> {
        let sandbox = self.sandboxes.find(sandbox)?;
        let _operation = sandbox.operation.read().await;
        sandbox.ready("create a container in it")?;
        let image = self.images.get(&spec.image).ok_or_else(|| Error::ImageNotPresent(spec.image.clone()))?;
        let lowers = self.images.mount_plan(&image)?;
        let config = image.config.config().clone().unwrap_or_default();
        let accounts = self.accounts(&image, &lowers.dirs).await?;
        let user = user::resolve(&spec.security, config.user().as_deref().unwrap_or_default(), &accounts)?;
        let command = spec::merge_command(&spec, &config, &hostname(&sandbox))?;
        let record = ContainerRecord {
            user,
            lowers: Arc::new(lowers.dirs.clone()),
            ..new_record(&sandbox, spec, &image, &config)?
        };
        let entry = self.reserve_container(record, &sandbox)?;
        // The layers are held by `lowers` until the record, by which they are known to be in use, is in memory.
        drop(lowers);
        match self.make_container(&entry, command).await {
            Ok(()) => {
                self.publish(EventKind::ContainerCreated, &sandbox.id, &entry.id);
                Ok(entry.id.clone())
            }
            Err(error) => {
                if let Err(error) = self.forget_container(&entry).await {
                    tracing::warn!(container = entry.id, "{}", chain(&error));
                }
                Err(error)
            }
        }
    }

    fn reserve_container(
        &self,
        record: ContainerRecord,
        sandbox: &Arc<SandboxEntry>,
    ) -> Result<Arc<ContainerEntry>> {
        let metadata = record.spec.metadata.clone();
        let taken = |other: &ContainerEntry| {
            other.sandbox.id == sandbox.id && other.record.get().spec.metadata == metadata
        };
        self.containers.reserve(ContainerEntry::new(record, sandbox.clone()), taken).map_err(|id| {
            let name = format!("{}_{}", metadata.name, metadata.attempt);
            Error::NameInUse { kind: "container", name, id }
        })
    }

    async fn make_container(&self, entry: &ContainerEntry, command: Command) -> Result<()> {
        let record = entry.record.get();
        self.store.put(&*record).await?;
        failpoint::pass("create_container.after_intent");
        let layer = self.config.layer_dir(&entry.id);
        let bundle = self.config.bundle_dir(&entry.id);
        let sandbox = entry.sandbox.record.get();
        let sandbox_dir = self.config.sandbox_dir(&sandbox.id);
        let target_pid = self.target_pid(&record)?;
        let (cgroup_v2, swap) = (self.hierarchies.unified(), self.hierarchies.limits_swap());
        blocking(move || {
            make_layer(&layer)?;
            failpoint::pass("create_container.after_layer");
            let input = spec::Input {
                container: &record,
                sandbox: &sandbox,
                command: &command,
                target_pid,
                sandbox_dir: &sandbox_dir,
                cgroup_v2,
                swap,
            };
            let config = spec::generate(&input)?;
            make_private_dir(&bundle)?;
            let path = bundle.join("config.json");
            std::fs::write(&path, config.to_string()).at("write", path)?;
            if let Some(log_dir) = record.log_path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
                make_dir(log_dir)?;
            }
            Ok(())
        })
        .await?;
        failpoint::pass("create_container.after_bundle");
        entry.record.change(&self.store, |record| record.phase = ContainerPhase::Created).await?;
        failpoint::pass("create_container.after_outcome");
        Ok(())
    }

    fn target_pid(&self, record: &ContainerRecord) -> Result<u32> {
        let PidNamespace::Target(target) = &record.spec.security.pid else { return Ok(0) };
        let target = self.containers.find(target)?;
        if target.sandbox.id != record.sandbox_id {
            let problem = format!("container {} is of another sandbox", target.id);
            return Err(Error::Invalid { field: "pid", problem });
        }
        Ok(target.running("share its PID namespace")?.pid)
    }
}

fn new_record(
    sandbox: &SandboxEntry,
    spec: ContainerSpec,
    image: &Image,
    config: &ImageConfig,
) -> Result<ContainerRecord> {
    Ok(ContainerRecord {
        id: new_id(),
        sandbox_id: sandbox.id.clone(),
        phase: ContainerPhase::Creating,
        resources: Arc::new(spec.resources.clone()),
        image_id: image.id.to_string(),
        image_ref: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
        lowers: Arc::default(),
        user: Default::default(),
        stop_signal: spec::stop_signal(&spec, config)?,
        log_path: log_path(&sandbox.record.get().spec.log_directory, &spec.log_path)?,
        spec: Arc::new(spec),
        created_at: now(),
        started_at: 0,
        finished_at: 0,
        pid: 0,
        exit_code: 0,
        reason: String::new(),
        message: String::new(),
        updating: false,
    })
}

fn log_path(directory: &Path, file: &Path) -> Result<PathBuf> {
    if directory.as_os_str().is_empty() || file.as_os_str().is_empty() {
        return Ok(PathBuf::new());
    }
    let inside = file.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        let problem = format!("{} leaves the sandbox's log directory", file.display());
        return Err(Error::Invalid { field: "log_path", problem });
    }
    Ok(directory.join(file))
}

/// What the containers of a sandbox see as their host's name.
fn hostname(sandbox: &SandboxEntry) -> String {
    let spec = &sandbox.record.get().spec;
    if !spec.host_network && !spec.hostname.is_empty() {
        return spec.hostname.clone();
    }
    nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned()
}

/// Directories for overlayfs; the upper one is what the container sees as its root's owner and mode.
fn make_layer(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    make_private_dir(dir)?;
    for name in ["upper", "work"] {
        let path = dir.join(name);
        make_dir(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .at("set the mode of", path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_paths_stay_in_their_directory() {
        let path = |file: &str| log_path(Path::new("/var/log/pods/p"), Path::new(file));
        assert_eq!(path("web/0.log").unwrap(), Path::new("/var/log/pods/p/web/0.log"));
        assert_eq!(path("").unwrap(), Path::new(""));
        for bad in ["../x", "/etc/passwd", "a/../../b"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
