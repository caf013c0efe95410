//! A server with everything below it, for one test.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use reeve_engine::Engine;
use reeve_proto::cri::image_service_client::ImageServiceClient;
use reeve_proto::cri::runtime_service_client::RuntimeServiceClient;
use reeve_proto::cri::{self, ContainerState};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::{busybox, leaks};

const ISOLATED: &str = "REEVE_CRI_TEST_ISOLATED";

/// Runs the test called `name` (its path in this program) in namespaces of its own: in a second process, since
/// a process with threads cannot leave its namespaces.
pub(crate) fn isolated<F: Future<Output = ()>>(name: &str, body: impl FnOnce(Bench) -> F) {
    if std::env::var_os(ISOLATED).is_none() {
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(ISOLATED, "1")
            .status()
            .expect("unshare(1) of util-linux is needed, and root");
        assert!(status.success(), "{name} failed in its namespaces, see above");
        return;
    }
    run(&["ip", "link", "set", "lo", "up"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let scratch = tempfile::Builder::new().prefix("reeve-cri-").tempdir().unwrap();
    let cgroup_parent = format!("/reeve-test-cri-{}", std::process::id());
    runtime.block_on(async {
        let bench = Bench::start(&scratch, &cgroup_parent).await;
        let server = bench.server.clone();
        // A failed test must not leave its pods to the machine either.
        let outcome = AssertUnwindSafe(body(bench)).catch_unwind().await;
        server.end().await;
        leaks::check(scratch.path()).await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    leaks::remove_cgroups(&cgroup_parent);
}

fn run(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(status.success(), "{}", words.join(" "));
}

/// The shim, built when nobody did.
fn shim() -> PathBuf {
    let beside = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("reeve-shim");
    if let Some(path) = std::env::var_os("REEVE_SHIM") {
        return path.into();
    }
    let status = Command::new(env!("CARGO")).args(["build", "-q", "-p", "reeve-shim"]).status().unwrap();
    assert!(status.success(), "reeve-shim does not build");
    beside
}

/// A running server and its clients.
pub(crate) struct Bench {
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    pub(crate) images: ImageServiceClient<Channel>,
    pub(crate) dir: PathBuf,
    cgroup_parent: String,
    server: Server,
}

/// The server's side of a bench; it can be ended also when the test has taken the bench away.
#[derive(Clone)]
struct Server {
    engine: Engine,
    closing: CancellationToken,
    served: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Server {
    async fn end(&self) {
        self.closing.cancel();
        let served = self.served.lock().unwrap().take();
        served.unwrap().await.unwrap();
        for sandbox in self.engine.sandboxes() {
            self.engine.remove_sandbox(&sandbox.id).await.unwrap();
        }
        self.engine.shutdown().await;
    }
}

impl Bench {
    async fn start(scratch: &TempDir, cgroup_parent: &str) -> Bench {
        let dir = scratch.path().to_owned();
        let root = dir.join("root");
        let state = dir.join("run");
        let network = reeve_network::Config::new(
            "rvcri0",
            "10.77.0.0/24".parse().unwrap(),
            root.join("network"),
            state.join("netns"),
        );
        let engine = Engine::open(reeve_engine::Config {
            network,
            images: reeve_engine::image::Config::new(&root),
            shim: shim(),
            cgroup_parent: cgroup_parent.to_owned(),
            systemd_cgroup: false,
            root: root.clone(),
            state: state.clone(),
        })
        .await
        .unwrap();
        engine.images().import(&busybox::layout(&dir.join("busybox"))).await.unwrap();

        let socket = state.join("reeve.sock");
        let closing = CancellationToken::new();
        let config = reeve_cri::Config::new(&socket, &root);
        let serving = reeve_cri::serve(engine.clone(), config, closing.clone().cancelled_owned());
        let served = tokio::spawn(async move { serving.await.unwrap() });
        let channel = connect(&format!("unix:{}", socket.display())).await;
        Bench {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20),
            images: ImageServiceClient::new(channel),
            dir,
            cgroup_parent: cgroup_parent.to_owned(),
            server: Server { engine, closing, served: Arc::new(Mutex::new(Some(served))) },
        }
    }

    pub(crate) fn sandbox_config(&self, name: &str) -> cri::PodSandboxConfig {
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            hostname: name.to_owned(),
            log_directory: self.dir.join("logs").join(name).to_string_lossy().into_owned(),
            labels: [("app".to_owned(), name.to_owned())].into(),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: format!("{}/pod-{name}", self.cgroup_parent),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(cri::NamespaceOption {
                        pid: cri::NamespaceMode::Container as i32,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    pub(crate) async fn sandbox(&mut self, name: &str) -> String {
        let config = self.sandbox_config(name);
        self.run_sandbox(config).await.unwrap()
    }

    pub(crate) async fn run_sandbox(&mut self, config: cri::PodSandboxConfig) -> Result<String, Status> {
        std::fs::create_dir_all(&config.log_directory).unwrap();
        let request = cri::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        Ok(self.runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
    }

    /// A container that runs `script` in busybox's shell.
    pub(crate) fn container_config(&self, name: &str, script: &str) -> cri::ContainerConfig {
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(cri::ImageSpec { image: busybox::NAME.to_owned(), ..Default::default() }),
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            log_path: format!("{name}.log"),
            labels: [("container".to_owned(), name.to_owned())].into(),
            ..Default::default()
        }
    }

    pub(crate) async fn create(
        &mut self,
        sandbox: &str,
        config: cri::ContainerConfig,
    ) -> Result<String, Status> {
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: None,
        };
        Ok(self.runtime.create_container(request).await?.into_inner().container_id)
    }

    pub(crate) async fn start_container(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::StartContainerRequest { container_id: id.to_owned() };
        self.runtime.start_container(request).await.map(drop)
    }

    /// A started container that runs `script`.
    pub(crate) async fn running(&mut self, sandbox: &str, name: &str, script: &str) -> String {
        let config = self.container_config(name, script);
        let id = self.create(sandbox, config).await.unwrap();
        self.start_container(&id).await.unwrap();
        id
    }

    pub(crate) async fn status(&mut self, id: &str) -> cri::ContainerStatus {
        let request = cri::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        self.runtime.container_status(request).await.unwrap().into_inner().status.unwrap()
    }

    /// The status of a container once it has ended.
    pub(crate) async fn ended(&mut self, id: &str) -> cri::ContainerStatus {
        let began = Instant::now();
        loop {
            let status = self.status(id).await;
            if status.state == ContainerState::ContainerExited as i32 {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{id} does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn exec(&mut self, id: &str, script: &str) -> cri::ExecSyncResponse {
        self.exec_within(id, script, 20).await.unwrap()
    }

    pub(crate) async fn exec_within(
        &mut self,
        id: &str,
        script: &str,
        timeout: i64,
    ) -> Result<cri::ExecSyncResponse, Status> {
        let cmd = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let request = cri::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout };
        self.runtime.exec_sync(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn stop_container(&mut self, id: &str, timeout: i64) -> Result<(), Status> {
        let request = cri::StopContainerRequest { container_id: id.to_owned(), timeout };
        self.runtime.stop_container(request).await.map(drop)
    }

    pub(crate) async fn remove_container(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::RemoveContainerRequest { container_id: id.to_owned() };
        self.runtime.remove_container(request).await.map(drop)
    }

    pub(crate) async fn stop_sandbox(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.runtime.stop_pod_sandbox(request).await.map(drop)
    }

    pub(crate) async fn remove_sandbox(&mut self, id: &str) -> Result<(), Status> {
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        self.runtime.remove_pod_sandbox(request).await.map(drop)
    }
}

async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
    let began = Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
