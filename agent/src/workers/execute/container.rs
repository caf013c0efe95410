//! Containers.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use reeve_proto::cri as proto;
use tokio_util::sync::CancellationToken;

use super::{Executor, Fault, gone_is_fine, words};
use crate::events::EventType;
use crate::metrics::ContainerLabels;
use crate::spec::{ContainerInput, container_config, etc_hosts, expand, runs_as_root};
use crate::volumes;
use crate::workers::message::make_file;
use crate::workers::seen::Seen;

/// Which container to start, and how often it was before.
pub(super) struct Start<'a> {
    pub(super) name: &'a str,
    pub(super) sandbox: &'a str,
    pub(super) restarts: u32,
    pub(super) level: u32,
}

impl Executor {
    /// Pulls, creates and starts; `false` when it was cancelled before anything was created.
    pub(super) async fn start(
        &self,
        start: Start<'_>,
        seen: &Seen,
        cancel: CancellationToken,
    ) -> Result<bool, Fault> {
        let Some(c) = self.definition(start.name) else {
            return Err(Fault::new("CreateContainerConfigError")(format!(
                "the pod has no container {:?}",
                start.name
            )));
        };
        let attempt = seen.sandboxes.iter().find(|s| s.id == start.sandbox).map_or(0, |s| s.attempt);
        let sandbox = self.sandbox_config(attempt);
        let Some(image) = self.image(c, &sandbox, &cancel).await? else { return Ok(false) };
        if let Some(why) = runs_as_root(c, &self.pod, &image.user) {
            return Err(self.failed(c, "CreateContainerConfigError", why));
        }
        let volumes = self.set_up_volumes().await?;
        let message_file = make_file(&self.pod_dir(), &c.name, start.restarts)
            .map_err(|e| self.failed(c, "CreateContainerConfigError", format!("{e}: {}", e.source)))?;
        let input = ContainerInput {
            pod: &self.pod,
            container: c,
            config: &self.handles.config,
            agent: &self.agent,
            pod_ips: seen.addresses(),
            image: image.spec,
            image_user: &image.user,
            restarts: start.restarts,
            level: start.level,
            message_file: &message_file,
        };
        let env =
            input.environment().map_err(|e| self.failed(c, "CreateContainerConfigError", e.to_string()))?;
        let mounts = self.mounts(c, &volumes, &env, &message_file, seen)?;
        let config = container_config(&input, &env, mounts);
        if cancel.is_cancelled() {
            return Ok(false);
        }
        self.create_and_start(c, &start, config, sandbox).await.map(|()| true)
    }

    async fn create_and_start(
        &self,
        c: &Container,
        start: &Start<'_>,
        config: proto::ContainerConfig,
        sandbox: proto::PodSandboxConfig,
    ) -> Result<(), Fault> {
        let logs = Path::new(&sandbox.log_directory).join(&c.name);
        std::fs::create_dir_all(&logs).map_err(|e| {
            self.failed(
                c,
                "CreateContainerError",
                format!("cannot make the log directory {}: {e}", logs.display()),
            )
        })?;
        let request = proto::CreateContainerRequest {
            pod_sandbox_id: start.sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox),
        };
        let mut runtime = self.handles.cri.runtime();
        let created = self.call("CreateContainer", runtime.create_container(request)).await;
        let id = created.map_err(|s| self.failed(c, "CreateContainerError", words(&s)))?.container_id;
        self.event(Some(&c.name), EventType::Normal, "Created", format!("Created container: {}", c.name));
        let request = proto::StartContainerRequest { container_id: id };
        let started = self.call("StartContainer", runtime.start_container(request)).await;
        started.map_err(|s| self.failed(c, "RunContainerError", words(&s)))?;
        self.event(Some(&c.name), EventType::Normal, "Started", format!("Started container {}", c.name));
        if start.restarts > 0 {
            let labels = ContainerLabels {
                namespace: self.key.namespace.clone(),
                pod: self.key.name.clone(),
                container: c.name.clone(),
            };
            self.handles.metrics.restarts.get_or_create(&labels).inc();
        }
        Ok(())
    }

    /// Says that a container could not be made.
    fn failed(&self, c: &Container, reason: &'static str, message: String) -> Fault {
        self.event(Some(&c.name), EventType::Warning, "Failed", format!("Error: {message}"));
        Fault { reason, message }
    }

    /// All mounts of a container: its volumes, its termination message and the pod's hosts file.
    fn mounts(
        &self,
        c: &Container,
        volumes: &volumes::Volumes,
        env: &[(String, String)],
        message_file: &Path,
        seen: &Seen,
    ) -> Result<Vec<proto::Mount>, Fault> {
        let known: HashMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let dir = self.pod_dir();
        let mut mounts =
            volumes::mounts(&dir, volumes, c, &|text| expand(text, &known)).map_err(|error| {
                let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
                self.failed(c, "CreateContainerConfigError", format!("{error}{source}"))
            })?;
        let mut file = |host: &Path, inside: &str| {
            if !mounts.iter().any(|m| m.container_path == inside) {
                mounts.push(proto::Mount {
                    container_path: inside.to_owned(),
                    host_path: host.to_string_lossy().into_owned(),
                    ..proto::Mount::default()
                });
            }
        };
        if let Some(path) = c.termination_message_path.as_deref().filter(|path| !path.is_empty()) {
            file(message_file, path);
        }
        if let Some(text) = etc_hosts(&self.pod, seen.addresses()) {
            let hosts = dir.join("etc-hosts");
            // Rewritten in place: containers have this very file mounted.
            std::fs::write(&hosts, text).map_err(|e| {
                self.failed(c, "CreateContainerConfigError", format!("cannot write {}: {e}", hosts.display()))
            })?;
            file(&hosts, "/etc/hosts");
        }
        Ok(mounts)
    }

    pub(super) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Fault> {
        let timeout =
            i64::try_from(grace.as_secs() + u64::from(grace.subsec_nanos() > 0)).unwrap_or(i64::MAX);
        let request = proto::StopContainerRequest { container_id: id.to_owned(), timeout };
        let mut runtime = self.handles.cri.runtime();
        let stopped = self.call("StopContainer", runtime.stop_container(request)).await.map(drop);
        gone_is_fine(stopped).map_err(|status| Fault::new("KillContainerError")(words(&status)))
    }

    /// Removes a container and its log.
    pub(super) async fn remove_container(&self, id: &str, seen: &Seen) -> Result<(), Fault> {
        let request = proto::RemoveContainerRequest { container_id: id.to_owned() };
        let mut runtime = self.handles.cri.runtime();
        let removed = self.call("RemoveContainer", runtime.remove_container(request)).await.map(drop);
        gone_is_fine(removed).map_err(|status| Fault::new("RemoveContainerError")(words(&status)))?;
        let log = seen.containers.values().flatten().find(|c| c.id == id).map(|c| c.log_path.clone());
        if let Some(log) = log.filter(|path| Path::new(path).starts_with(&self.handles.config.log_root)) {
            // A log that is gone already is what is wanted.
            let _ = std::fs::remove_file(log);
        }
        Ok(())
    }
}
