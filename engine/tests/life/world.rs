//! A place of its own for each test.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reeve_engine::{
    Config, Container, ContainerMetadata, ContainerSpec, ContainerState, Engine, SandboxMetadata, SandboxSpec,
};

use crate::{image, leaks};

const INSIDE: &str = "REEVE_ENGINE_TEST_WORLD";
/// Long: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the test called `name` (its path in this program) in namespaces of its own: in a second process, since a
/// process with threads cannot leave its namespaces.
pub(crate) fn in_world<F: Future<Output = ()>>(name: &str, body: impl FnOnce(World) -> F) {
    if std::env::var_os(INSIDE).is_none() {
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .arg(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "1")
            .status()
            .expect("unshare(1) of util-linux is needed, and root");
        assert!(status.success(), "{name} failed in its namespaces, see above");
        return;
    }
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let scratch = tempfile::Builder::new().prefix("reeve-engine-").tempdir().unwrap();
    let world = World {
        dir: scratch.path().to_owned(),
        cgroup: format!("/reeve-test-engine-{}", std::process::id()),
        links: leaks::links(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(body(world.clone()));
    leaks::assert_none(&world);
    leaks::remove_cgroup(&world.cgroup);
}

/// The shim: that of `make build`, or one built here when nobody did.
fn shim() -> PathBuf {
    if let Some(dist) = std::env::var_os("REEVE_DIST") {
        return PathBuf::from(dist).join("reeve-shim");
    }
    let beside = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("reeve-shim");
    if !beside.exists() {
        let status = Command::new(env!("CARGO")).args(["build", "-q", "-p", "reeve-shim"]).status().unwrap();
        assert!(status.success(), "reeve-shim does not build");
    }
    beside
}

/// Directories and names of one engine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: String,
    /// Interfaces that the namespace began with: the kernel gives some to each.
    pub(crate) links: Vec<String>,
}

impl World {
    pub(crate) fn config(&self) -> Config {
        let (root, state) = (self.dir.join("root"), self.dir.join("run"));
        Config {
            network: reeve_network::Config::new(
                "rvengine0",
                "10.78.0.0/24".parse().unwrap(),
                root.join("network"),
                state.join("netns"),
            ),
            images: reeve_image::Config::new(&root),
            shim: shim(),
            cgroup_parent: self.cgroup.clone(),
            systemd_cgroup: false,
            root,
            state,
        }
    }

    pub(crate) async fn open(&self) -> Engine {
        let engine = Engine::open(self.config()).await.unwrap();
        if engine.images().get(image::NAME).is_none() {
            engine.images().import(&image::archive(&self.dir)).await.unwrap();
        }
        engine
    }

    /// Ends the engine as a stop of the daemon would; pods go on.
    pub(crate) async fn close(&self, engine: Engine) {
        engine.shutdown().await;
        drop(engine);
    }

    /// Removes all and ends the engine.
    pub(crate) async fn clean(&self, engine: Engine) {
        for sandbox in engine.sandboxes() {
            engine.remove_sandbox(&sandbox.id).await.unwrap();
        }
        assert!(engine.containers().is_empty());
        self.close(engine).await;
    }

    pub(crate) fn sandbox(&self, name: &str) -> SandboxSpec {
        SandboxSpec {
            metadata: SandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            },
            hostname: name.into(),
            log_directory: self.dir.join("logs").join(name),
            ..SandboxSpec::default()
        }
    }

    pub(crate) fn log(&self, sandbox: &str, container: &str) -> String {
        std::fs::read_to_string(self.dir.join("logs").join(sandbox).join(format!("{container}.log")))
            .unwrap_or_default()
    }
}

/// A container that runs `script` in busybox's shell.
pub(crate) fn script(name: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        metadata: ContainerMetadata { name: name.into(), attempt: 0 },
        image: image::NAME.into(),
        command: words(&["/bin/sh", "-c", script]),
        log_path: format!("{name}.log").into(),
        ..ContainerSpec::default()
    }
}

pub(crate) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// A started container.
pub(crate) async fn running(engine: &Engine, sandbox: &str, spec: ContainerSpec) -> String {
    let id = engine.create_container(sandbox, spec).await.unwrap();
    engine.start_container(&id).await.unwrap();
    id
}

/// The container once it has ended.
pub(crate) async fn ended(engine: &Engine, id: &str) -> Container {
    until(|| {
        let container = engine.container(id).unwrap();
        (container.state == ContainerState::Exited).then_some(container)
    })
    .await
}

pub(crate) async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
