//! `runtime.v1.RuntimeService`: a file for each RPC, named after it.
//!
//! A call reads the request, resolves ids (a unique beginning is enough, as users of crictl expect), asks the
//! engine, and words the answer; all conversion is in [`crate::convert`].

use std::future::Future;
use std::time::Instant;

use reeve_engine::{Container, Engine, Error as EngineError, Sandbox};
use reeve_proto::cri;
use reeve_proto::cri::runtime_service_server::RuntimeService as Rpc;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::Config;
use crate::convert;
use crate::convert::fault::Fault;
use crate::status;
use crate::streaming::Streaming;

mod attach;
mod checkpoint_container;
mod checkpoint_pod;
mod container_stats;
mod container_status;
mod create_container;
mod exec;
mod exec_sync;
mod get_container_events;
mod list_container_stats;
mod list_containers;
mod list_metric_descriptors;
mod list_pod_sandbox;
mod list_pod_sandbox_metrics;
mod list_pod_sandbox_stats;
mod pod_sandbox_stats;
mod pod_sandbox_status;
mod port_forward;
mod remove_container;
mod remove_pod_sandbox;
mod reopen_container_log;
mod restore_pod;
mod run_pod_sandbox;
mod runtime_config;
mod runtime_status;
mod samples;
mod start_container;
mod stop_container;
mod stop_pod_sandbox;
mod stream_container_stats;
mod stream_containers;
mod stream_pod_sandbox_metrics;
mod stream_pod_sandbox_stats;
mod stream_pod_sandboxes;
mod update_container_resources;
mod update_pod_sandbox_resources;
mod update_runtime_config;
mod version;

/// The service. Cheap to clone: calls that outlive their client take a clone along.
#[derive(Clone)]
pub(crate) struct RuntimeService {
    engine: Engine,
    config: Config,
    streaming: Streaming,
    closing: CancellationToken,
}

impl RuntimeService {
    pub(crate) fn new(
        engine: Engine,
        config: Config,
        streaming: Streaming,
        closing: CancellationToken,
    ) -> RuntimeService {
        RuntimeService { engine, config, streaming, closing }
    }

    /// The sandbox that `field` of a request names.
    fn sandbox(&self, id: &str) -> Result<Sandbox, Status> {
        if id.is_empty() {
            return Err(Fault::missing("pod_sandbox_id").into());
        }
        self.engine.sandbox(id).map_err(status::of_engine)
    }

    /// As [`Self::sandbox`], for calls that succeed when there is none.
    fn sandbox_if_any(&self, id: &str) -> Result<Option<Sandbox>, Status> {
        if id.is_empty() {
            return Err(Fault::missing("pod_sandbox_id").into());
        }
        if_any(self.engine.sandbox(id))
    }

    /// The container that a request names.
    fn container(&self, id: &str) -> Result<Container, Status> {
        if id.is_empty() {
            return Err(Fault::missing("container_id").into());
        }
        self.engine.container(id).map_err(status::of_engine)
    }

    /// As [`Self::container`], for calls that succeed when there is none.
    fn container_if_any(&self, id: &str) -> Result<Option<Container>, Status> {
        if id.is_empty() {
            return Err(Fault::missing("container_id").into());
        }
        if_any(self.engine.container(id))
    }

    /// The containers of a sandbox.
    fn containers_of(&self, sandbox_id: &str) -> Vec<Container> {
        let mut containers = self.engine.containers();
        containers.retain(|container| container.sandbox_id == sandbox_id);
        containers
    }

    /// How people know the image of a container: the name it was made by, or for one made by an image's id the
    /// image's first name.
    fn image_name(&self, container: &Container) -> String {
        let asked = &container.spec.image;
        if !convert::container_status::is_made_by_image_id(container) {
            return asked.clone();
        }
        let image = self.engine.images().get(&container.image_id);
        let name = image.and_then(|image| image.repo_tags.into_iter().chain(image.repo_digests).next());
        name.unwrap_or_else(|| asked.clone())
    }

    /// Everything about a container.
    fn status_of(&self, container: &Container) -> cri::ContainerStatus {
        convert::container_status::status(container, self.image_name(container))
    }

    /// Everything about the containers of a sandbox.
    fn statuses_of(&self, sandbox_id: &str) -> Vec<cri::ContainerStatus> {
        self.containers_of(sandbox_id).iter().map(|container| self.status_of(container)).collect()
    }

    /// A container as a line of a list.
    fn listed(&self, container: &Container) -> cri::Container {
        convert::container_status::to_cri(container, self.image_name(container))
    }

    /// The directory by which clients recognise the filesystem of images and writable layers.
    fn mountpoint(&self) -> String {
        self.config.root.to_string_lossy().into_owned()
    }
}

fn if_any<T>(found: Result<T, EngineError>) -> Result<Option<T>, Status> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(EngineError::NotFound { .. }) => Ok(None),
        Err(error) => Err(status::of_engine(error)),
    }
}

/// Says in the log what was asked and how it went.
async fn logged<T>(
    rpc: &'static str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<Response<T>, Status> {
    let began = Instant::now();
    let outcome = call.await;
    let took = began.elapsed();
    match outcome {
        Ok(answer) => {
            tracing::trace!(rpc, ?took, "answered");
            Ok(Response::new(answer))
        }
        Err(status) => {
            tracing::debug!(rpc, ?took, code = ?status.code(), message = status.message(), "refused");
            Err(status)
        }
    }
}

/// Implements the generated trait: each method is the `call` of the module that has its name.
macro_rules! rpcs {
    (
        answers { $($call:ident = $module:ident($request:ident) -> $response:ident;)* }
        streams { $($stream_call:ident = $stream_module:ident($stream_request:ident) -> $stream:ident of $item:ident;)* }
    ) => {
        #[tonic::async_trait]
        impl Rpc for RuntimeService {
            $(
                async fn $call(
                    &self,
                    request: Request<cri::$request>,
                ) -> Result<Response<cri::$response>, Status> {
                    logged(stringify!($call), $module::call(self, request.into_inner())).await
                }
            )*
            $(
                type $stream = crate::stream::Stream<cri::$item>;

                async fn $stream_call(
                    &self,
                    request: Request<cri::$stream_request>,
                ) -> Result<Response<Self::$stream>, Status> {
                    logged(stringify!($stream_call), $stream_module::call(self, request.into_inner())).await
                }
            )*
        }
    };
}

rpcs! {
    answers {
        version = version(VersionRequest) -> VersionResponse;
        status = runtime_status(StatusRequest) -> StatusResponse;
        runtime_config = runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
        update_runtime_config = update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;

        run_pod_sandbox = run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse;
        stop_pod_sandbox = stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse;
        remove_pod_sandbox = remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse;
        pod_sandbox_status = pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse;
        list_pod_sandbox = list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse;
        update_pod_sandbox_resources = update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest)
            -> UpdatePodSandboxResourcesResponse;

        create_container = create_container(CreateContainerRequest) -> CreateContainerResponse;
        start_container = start_container(StartContainerRequest) -> StartContainerResponse;
        stop_container = stop_container(StopContainerRequest) -> StopContainerResponse;
        remove_container = remove_container(RemoveContainerRequest) -> RemoveContainerResponse;
        container_status = container_status(ContainerStatusRequest) -> ContainerStatusResponse;
        list_containers = list_containers(ListContainersRequest) -> ListContainersResponse;
        update_container_resources = update_container_resources(UpdateContainerResourcesRequest)
            -> UpdateContainerResourcesResponse;
        reopen_container_log = reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse;

        exec_sync = exec_sync(ExecSyncRequest) -> ExecSyncResponse;
        exec = exec(ExecRequest) -> ExecResponse;
        attach = attach(AttachRequest) -> AttachResponse;
        port_forward = port_forward(PortForwardRequest) -> PortForwardResponse;

        container_stats = container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
        list_container_stats = list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
        pod_sandbox_stats = pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
        list_pod_sandbox_stats = list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
        list_metric_descriptors = list_metric_descriptors(ListMetricDescriptorsRequest)
            -> ListMetricDescriptorsResponse;
        list_pod_sandbox_metrics = list_pod_sandbox_metrics(ListPodSandboxMetricsRequest)
            -> ListPodSandboxMetricsResponse;

        checkpoint_container = checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
        checkpoint_pod = checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse;
        restore_pod = restore_pod(RestorePodRequest) -> RestorePodResponse;
    }
    streams {
        get_container_events = get_container_events(GetEventsRequest)
            -> GetContainerEventsStream of ContainerEventResponse;
        stream_pod_sandboxes = stream_pod_sandboxes(StreamPodSandboxesRequest)
            -> StreamPodSandboxesStream of StreamPodSandboxesResponse;
        stream_containers = stream_containers(StreamContainersRequest)
            -> StreamContainersStream of StreamContainersResponse;
        stream_container_stats = stream_container_stats(StreamContainerStatsRequest)
            -> StreamContainerStatsStream of StreamContainerStatsResponse;
        stream_pod_sandbox_stats = stream_pod_sandbox_stats(StreamPodSandboxStatsRequest)
            -> StreamPodSandboxStatsStream of StreamPodSandboxStatsResponse;
        stream_pod_sandbox_metrics = stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest)
            -> StreamPodSandboxMetricsStream of StreamPodSandboxMetricsResponse;
    }
}
