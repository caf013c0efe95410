//! The RuntimeService.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use proto::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};
use reeve_proto::cri as proto;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status};

use super::Sim;
use super::state::{ContainerSim, SandboxSim};

fn matches(labels: &HashMap<String, String>, selector: &HashMap<String, String>) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

impl Sim {
    /// Lets a container do what its image says.
    fn live(&self, id: String, image: &str) {
        let Some((seconds, code)) = image.strip_prefix("sim/exit/").and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        let (seconds, code): (u64, i32) = (seconds.parse().unwrap(), code.parse().unwrap());
        let sim = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let now = sim.nanos();
            let sandbox = {
                let mut state = sim.lock();
                let Some(c) = state.containers.get(&id).cloned() else { return };
                // Where the log's directory is gone, the pod is too.
                let line = format!("2026-01-01T00:00:00Z stderr F ends with {code}\n");
                let _ = std::fs::write(state.log_path(&c), line);
                state.finish(&id, now, code);
                c.sandbox
            };
            sim.tell(&sandbox);
        });
    }

    fn get(&self, id: &str) -> Result<ContainerSim, Status> {
        self.lock().containers.get(id).cloned().ok_or_else(|| Status::not_found(format!("no container {id}")))
    }
}

fn not_simulated<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not simulated"))
}

type Events = Pin<Box<dyn Stream<Item = Result<proto::ContainerEventResponse, Status>> + Send>>;
type Nothing<T> = tokio_stream::Empty<Result<T, Status>>;

#[tonic::async_trait]
impl proto::runtime_service_server::RuntimeService for Sim {
    type GetContainerEventsStream = Events;
    type StreamPodSandboxesStream = Nothing<proto::StreamPodSandboxesResponse>;
    type StreamContainersStream = Nothing<proto::StreamContainersResponse>;
    type StreamContainerStatsStream = Nothing<proto::StreamContainerStatsResponse>;
    type StreamPodSandboxStatsStream = Nothing<proto::StreamPodSandboxStatsResponse>;
    type StreamPodSandboxMetricsStream = Nothing<proto::StreamPodSandboxMetricsResponse>;

    async fn run_pod_sandbox(
        &self,
        request: Request<proto::RunPodSandboxRequest>,
    ) -> Result<Response<proto::RunPodSandboxResponse>, Status> {
        self.begin().await?;
        let config = request.into_inner().config.unwrap();
        let created_at = self.nanos();
        let id = {
            let mut state = self.lock();
            let same = |s: &SandboxSim| s.config.metadata == config.metadata;
            if state.sandboxes.values().any(same) {
                return Err(Status::already_exists("the sandbox's name is taken"));
            }
            let id = state.id("s");
            state.sandboxes.insert(id.clone(), SandboxSim { config, ready: true, created_at });
            state.check();
            id
        };
        self.tell(&id);
        self.end()?;
        Ok(Response::new(proto::RunPodSandboxResponse { pod_sandbox_id: id }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<proto::StopPodSandboxRequest>,
    ) -> Result<Response<proto::StopPodSandboxResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().pod_sandbox_id;
        let now = self.nanos();
        self.lock().stop_sandbox(&id, now, 137);
        self.tell(&id);
        self.end()?;
        Ok(Response::new(proto::StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<proto::RemovePodSandboxRequest>,
    ) -> Result<Response<proto::RemovePodSandboxResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().pod_sandbox_id;
        {
            let now = self.nanos();
            let mut state = self.lock();
            state.stop_sandbox(&id, now, 137);
            state.containers.retain(|_, c| c.sandbox != id);
            state.sandboxes.remove(&id);
        }
        self.end()?;
        Ok(Response::new(proto::RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<proto::PodSandboxStatusRequest>,
    ) -> Result<Response<proto::PodSandboxStatusResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().pod_sandbox_id;
        let state = self.lock();
        let sandbox = state.sandboxes.get(&id).ok_or_else(|| Status::not_found("no such sandbox"))?;
        let network = proto::PodSandboxNetworkStatus { ip: "10.88.0.2".into(), additional_ips: Vec::new() };
        let status = proto::PodSandboxStatus {
            id,
            metadata: sandbox.config.metadata.clone(),
            state: i32::from(!sandbox.ready),
            created_at: sandbox.created_at,
            network: Some(network),
            ..Default::default()
        };
        Ok(Response::new(proto::PodSandboxStatusResponse { status: Some(status), ..Default::default() }))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<proto::ListPodSandboxRequest>,
    ) -> Result<Response<proto::ListPodSandboxResponse>, Status> {
        self.begin().await?;
        let selector = request.into_inner().filter.unwrap_or_default().label_selector;
        let state = self.lock();
        let sandboxes = state.sandboxes.iter().filter(|(_, s)| matches(&s.config.labels, &selector));
        let items = sandboxes.map(|(id, s)| proto::PodSandbox {
            id: id.clone(),
            metadata: s.config.metadata.clone(),
            state: i32::from(!s.ready),
            created_at: s.created_at,
            labels: s.config.labels.clone(),
            ..Default::default()
        });
        Ok(Response::new(proto::ListPodSandboxResponse { items: items.collect() }))
    }

    async fn create_container(
        &self,
        request: Request<proto::CreateContainerRequest>,
    ) -> Result<Response<proto::CreateContainerResponse>, Status> {
        self.begin().await?;
        let request = request.into_inner();
        let created_at = self.nanos();
        let id = {
            let mut state = self.lock();
            if !state.sandboxes.get(&request.pod_sandbox_id).is_some_and(|s| s.ready) {
                return Err(Status::failed_precondition("the sandbox is not ready"));
            }
            let config = request.config.unwrap();
            let taken = |c: &ContainerSim| {
                c.sandbox == request.pod_sandbox_id && c.config.metadata == config.metadata
            };
            if state.containers.values().any(taken) {
                return Err(Status::already_exists("the container's name is taken"));
            }
            let id = state.id("c");
            let container = ContainerSim {
                sandbox: request.pod_sandbox_id.clone(),
                config,
                state: ContainerCreated,
                created_at,
                started_at: 0,
                finished_at: 0,
                exit_code: 0,
                killed: false,
            };
            state.containers.insert(id.clone(), container);
            id
        };
        self.tell(&request.pod_sandbox_id);
        self.end()?;
        Ok(Response::new(proto::CreateContainerResponse { container_id: id }))
    }

    async fn start_container(
        &self,
        request: Request<proto::StartContainerRequest>,
    ) -> Result<Response<proto::StartContainerResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().container_id;
        let container = self.get(&id)?;
        let now = self.nanos();
        {
            let mut state = self.lock();
            if !state.sandboxes.get(&container.sandbox).is_some_and(|s| s.ready)
                || container.state != ContainerCreated
            {
                return Err(Status::failed_precondition("it cannot be started"));
            }
            state.check_start(&id, now);
            let c = state.containers.get_mut(&id).unwrap();
            c.state = ContainerRunning;
            c.started_at = now;
            state.check();
        }
        self.live(id, container.written_image());
        self.tell(&container.sandbox);
        self.end()?;
        Ok(Response::new(proto::StartContainerResponse {}))
    }

    async fn stop_container(
        &self,
        request: Request<proto::StopContainerRequest>,
    ) -> Result<Response<proto::StopContainerResponse>, Status> {
        self.begin().await?;
        let request = request.into_inner();
        let container = self.get(&request.container_id)?;
        if let Some(c) = self.lock().containers.get_mut(&request.container_id) {
            c.killed = true;
        }
        let stubborn = container.written_image().starts_with("sim/stubborn");
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        if stubborn {
            tokio::time::sleep(grace).await;
        } else if !grace.is_zero() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let code = if stubborn || grace.is_zero() { 137 } else { 143 };
        let now = self.nanos();
        self.lock().finish(&request.container_id, now, code);
        self.tell(&container.sandbox);
        self.end()?;
        Ok(Response::new(proto::StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<proto::RemoveContainerRequest>,
    ) -> Result<Response<proto::RemoveContainerResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().container_id;
        let now = self.nanos();
        let mut state = self.lock();
        state.finish(&id, now, 137);
        state.containers.remove(&id);
        Ok(Response::new(proto::RemoveContainerResponse {}))
    }

    async fn list_containers(
        &self,
        request: Request<proto::ListContainersRequest>,
    ) -> Result<Response<proto::ListContainersResponse>, Status> {
        self.begin().await?;
        let selector = request.into_inner().filter.unwrap_or_default().label_selector;
        let state = self.lock();
        let containers = state.containers.iter().filter(|(_, c)| matches(&c.config.labels, &selector));
        let containers = containers.map(|(id, c)| proto::Container {
            id: id.clone(),
            pod_sandbox_id: c.sandbox.clone(),
            metadata: c.config.metadata.clone(),
            state: c.state as i32,
            created_at: c.created_at,
            ..Default::default()
        });
        Ok(Response::new(proto::ListContainersResponse { containers: containers.collect() }))
    }

    async fn container_status(
        &self,
        request: Request<proto::ContainerStatusRequest>,
    ) -> Result<Response<proto::ContainerStatusResponse>, Status> {
        self.begin().await?;
        let id = request.into_inner().container_id;
        let c = self.get(&id)?;
        let status = proto::ContainerStatus {
            id,
            metadata: c.config.metadata.clone(),
            state: c.state as i32,
            created_at: c.created_at,
            started_at: c.started_at,
            finished_at: c.finished_at,
            exit_code: c.exit_code,
            image: c.config.image.clone(),
            reason: if c.state == ContainerExited && c.exit_code != 0 {
                "Error".into()
            } else {
                String::new()
            },
            labels: c.config.labels.clone(),
            annotations: c.config.annotations.clone(),
            log_path: self.lock().log_path(&c),
            ..Default::default()
        };
        Ok(Response::new(proto::ContainerStatusResponse { status: Some(status), ..Default::default() }))
    }

    async fn exec_sync(
        &self,
        request: Request<proto::ExecSyncRequest>,
    ) -> Result<Response<proto::ExecSyncResponse>, Status> {
        self.begin().await?;
        let request = request.into_inner();
        let c = self.get(&request.container_id)?;
        // `fail-after N` succeeds until the container has run for N seconds.
        let ran = (self.nanos() - c.started_at) / 1_000_000_000;
        let exit_code = match request.cmd.as_slice() {
            [verb, seconds] if verb == "fail-after" => i32::from(ran >= seconds.parse().unwrap()),
            [verb, seconds] if verb == "succeed-after" => i32::from(ran < seconds.parse().unwrap()),
            _ => 0,
        };
        Ok(Response::new(proto::ExecSyncResponse { exit_code, ..Default::default() }))
    }

    async fn get_container_events(
        &self,
        _: Request<proto::GetEventsRequest>,
    ) -> Result<Response<Events>, Status> {
        let events = BroadcastStream::new(self.events.subscribe());
        let events = events.map(|event| event.map_err(|e| Status::data_loss(e.to_string())));
        Ok(Response::new(Box::pin(events)))
    }

    async fn version(
        &self,
        _: Request<proto::VersionRequest>,
    ) -> Result<Response<proto::VersionResponse>, Status> {
        self.begin().await?;
        let runtime_name = "sim".into();
        Ok(Response::new(proto::VersionResponse { runtime_name, ..Default::default() }))
    }

    async fn stream_pod_sandboxes(
        &self,
        _: Request<proto::StreamPodSandboxesRequest>,
    ) -> Result<Response<Self::StreamPodSandboxesStream>, Status> {
        not_simulated()
    }

    async fn stream_containers(
        &self,
        _: Request<proto::StreamContainersRequest>,
    ) -> Result<Response<Self::StreamContainersStream>, Status> {
        not_simulated()
    }

    async fn update_container_resources(
        &self,
        _: Request<proto::UpdateContainerResourcesRequest>,
    ) -> Result<Response<proto::UpdateContainerResourcesResponse>, Status> {
        not_simulated()
    }

    async fn reopen_container_log(
        &self,
        _: Request<proto::ReopenContainerLogRequest>,
    ) -> Result<Response<proto::ReopenContainerLogResponse>, Status> {
        not_simulated()
    }

    async fn exec(&self, _: Request<proto::ExecRequest>) -> Result<Response<proto::ExecResponse>, Status> {
        not_simulated()
    }

    async fn attach(
        &self,
        _: Request<proto::AttachRequest>,
    ) -> Result<Response<proto::AttachResponse>, Status> {
        not_simulated()
    }

    async fn port_forward(
        &self,
        _: Request<proto::PortForwardRequest>,
    ) -> Result<Response<proto::PortForwardResponse>, Status> {
        not_simulated()
    }

    async fn container_stats(
        &self,
        _: Request<proto::ContainerStatsRequest>,
    ) -> Result<Response<proto::ContainerStatsResponse>, Status> {
        not_simulated()
    }

    async fn list_container_stats(
        &self,
        _: Request<proto::ListContainerStatsRequest>,
    ) -> Result<Response<proto::ListContainerStatsResponse>, Status> {
        not_simulated()
    }

    async fn stream_container_stats(
        &self,
        _: Request<proto::StreamContainerStatsRequest>,
    ) -> Result<Response<Self::StreamContainerStatsStream>, Status> {
        not_simulated()
    }

    async fn pod_sandbox_stats(
        &self,
        _: Request<proto::PodSandboxStatsRequest>,
    ) -> Result<Response<proto::PodSandboxStatsResponse>, Status> {
        not_simulated()
    }

    async fn list_pod_sandbox_stats(
        &self,
        _: Request<proto::ListPodSandboxStatsRequest>,
    ) -> Result<Response<proto::ListPodSandboxStatsResponse>, Status> {
        not_simulated()
    }

    async fn stream_pod_sandbox_stats(
        &self,
        _: Request<proto::StreamPodSandboxStatsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxStatsStream>, Status> {
        not_simulated()
    }

    async fn update_runtime_config(
        &self,
        _: Request<proto::UpdateRuntimeConfigRequest>,
    ) -> Result<Response<proto::UpdateRuntimeConfigResponse>, Status> {
        not_simulated()
    }

    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        not_simulated()
    }

    async fn checkpoint_container(
        &self,
        _: Request<proto::CheckpointContainerRequest>,
    ) -> Result<Response<proto::CheckpointContainerResponse>, Status> {
        not_simulated()
    }

    async fn checkpoint_pod(
        &self,
        _: Request<proto::CheckpointPodRequest>,
    ) -> Result<Response<proto::CheckpointPodResponse>, Status> {
        not_simulated()
    }

    async fn restore_pod(
        &self,
        _: Request<proto::RestorePodRequest>,
    ) -> Result<Response<proto::RestorePodResponse>, Status> {
        not_simulated()
    }

    async fn list_metric_descriptors(
        &self,
        _: Request<proto::ListMetricDescriptorsRequest>,
    ) -> Result<Response<proto::ListMetricDescriptorsResponse>, Status> {
        not_simulated()
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _: Request<proto::ListPodSandboxMetricsRequest>,
    ) -> Result<Response<proto::ListPodSandboxMetricsResponse>, Status> {
        not_simulated()
    }

    async fn stream_pod_sandbox_metrics(
        &self,
        _: Request<proto::StreamPodSandboxMetricsRequest>,
    ) -> Result<Response<Self::StreamPodSandboxMetricsStream>, Status> {
        not_simulated()
    }

    async fn runtime_config(
        &self,
        _: Request<proto::RuntimeConfigRequest>,
    ) -> Result<Response<proto::RuntimeConfigResponse>, Status> {
        not_simulated()
    }

    async fn update_pod_sandbox_resources(
        &self,
        _: Request<proto::UpdatePodSandboxResourcesRequest>,
    ) -> Result<Response<proto::UpdatePodSandboxResourcesResponse>, Status> {
        not_simulated()
    }
}
