//! Sandboxes.

use reeve_proto::cri as proto;

use super::{Executor, Fault, gone_is_fine, words};
use crate::events::EventType;
use crate::spec::{SandboxInput, sandbox_config};
use crate::volumes;

impl Executor {
    pub(super) fn sandbox_config(&self, attempt: u32) -> proto::PodSandboxConfig {
        sandbox_config(&SandboxInput {
            pod: &self.pod,
            config: &self.handles.config,
            agent: &self.agent,
            attempt,
        })
    }

    /// Makes the pod's volumes and its sandbox.
    pub(super) async fn create_sandbox(&self, attempt: u32, changed: bool) -> Result<(), Fault> {
        if changed {
            let message = "Pod sandbox changed, it will be killed and re-created.";
            self.event(None, EventType::Normal, "SandboxChanged", message.into());
        }
        self.set_up_volumes().await?;
        let config = self.sandbox_config(attempt);
        let logs = config.log_directory.clone();
        std::fs::create_dir_all(&logs).map_err(|e| Fault {
            reason: "CreatePodSandboxError",
            message: format!("cannot make the log directory {logs}: {e}"),
        })?;
        let request = proto::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        let mut runtime = self.handles.cri.runtime();
        self.call("RunPodSandbox", runtime.run_pod_sandbox(request)).await.map(drop).map_err(|status| {
            let message = format!("Failed to create pod sandbox: {}", words(&status));
            self.event(None, EventType::Warning, "FailedCreatePodSandBox", message.clone());
            Fault { reason: "CreatePodSandboxError", message }
        })
    }

    /// Makes what is missing of the volumes, in a thread that may block.
    pub(super) async fn set_up_volumes(&self) -> Result<volumes::Volumes, Fault> {
        let (dir, pod) = (self.pod_dir(), self.pod.clone());
        let made = tokio::task::spawn_blocking(move || volumes::set_up(&dir, &pod)).await;
        let made = made.map_err(|e| e.to_string()).and_then(|made| {
            made.map_err(|error| {
                let source = std::error::Error::source(&error).map(|s| format!(": {s}")).unwrap_or_default();
                format!("{error}{source}")
            })
        });
        made.map_err(|message| {
            self.event(
                None,
                EventType::Warning,
                "FailedMount",
                format!("MountVolume.SetUp failed: {message}"),
            );
            Fault { reason: "ContainerCreating", message }
        })
    }

    pub(super) async fn stop_sandbox(&self, id: &str) -> Result<(), Fault> {
        let request = proto::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut runtime = self.handles.cri.runtime();
        let stopped = self.call("StopPodSandbox", runtime.stop_pod_sandbox(request)).await.map(drop);
        gone_is_fine(stopped).map_err(|status| {
            let message = format!("error killing pod: {}", words(&status));
            self.event(None, EventType::Warning, "FailedKillPod", message.clone());
            Fault { reason: "KillPodSandboxError", message }
        })
    }

    pub(super) async fn remove_sandbox(&self, id: &str) -> Result<(), Fault> {
        let request = proto::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut runtime = self.handles.cri.runtime();
        let removed = self.call("RemovePodSandbox", runtime.remove_pod_sandbox(request)).await.map(drop);
        gone_is_fine(removed).map_err(|status| Fault::new("KillPodSandboxError")(words(&status)))
    }
}
