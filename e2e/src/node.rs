//! A Reeve daemon under test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::{Lab, leaks, tools, until, until_some};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How a node differs from the default.
#[derive(Clone, Default)]
pub struct NodeOptions {
    /// Further arguments of the daemon.
    pub arguments: Vec<String>,
    /// Further environment of the daemon.
    pub environment: Vec<(String, String)>,
    /// `reeve cri` alone, without the agent.
    pub cri_only: bool,
    /// Kubernetes credentials.
    pub kubeconfig: Option<PathBuf>,
}

/// A daemon with paths, bridge and cgroup parent of its own.
pub struct Node<'lab> {
    lab: &'lab Lab,
    options: NodeOptions,
    daemon: Option<Child>,
    name: String,
    cgroup_parent: String,
    /// Survives the daemon and a reboot.
    pub root: PathBuf,
    /// Sockets; gone with a reboot.
    pub state: PathBuf,
    /// Watched for manifests.
    pub manifests: PathBuf,
    /// Container logs.
    pub logs: PathBuf,
}

impl<'lab> Node<'lab> {
    /// Starts an agent with an empty manifest directory.
    pub fn start(lab: &'lab Lab) -> Node<'lab> {
        Node::start_with(lab, NodeOptions::default())
    }

    /// Starts a daemon as `options` say, and waits until it answers.
    pub fn start_with(lab: &'lab Lab, options: NodeOptions) -> Node<'lab> {
        let mut node = Node::prepare(lab, options);
        node.launch();
        node
    }

    /// A node that has not been started.
    pub fn prepare(lab: &'lab Lab, options: NodeOptions) -> Node<'lab> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rv{}n{number}", lab.pid());
        let dir = lab.path(&name);
        let node = Node {
            lab,
            options,
            daemon: None,
            cgroup_parent: format!("/reeve-e2e/{name}"),
            root: dir.join("root"),
            state: dir.join("state"),
            manifests: dir.join("manifests"),
            logs: dir.join("logs"),
            name,
        };
        for path in [&node.root, &node.state, &node.manifests, &node.logs] {
            fs::create_dir_all(path).expect("scratch");
        }
        node
    }

    /// The lab that it lives in.
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Name of the Kubernetes node.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Path of the cgroup that holds its pods.
    pub fn cgroup_parent(&self) -> &str {
        &self.cgroup_parent
    }

    /// Socket of the CRI.
    pub fn cri_socket(&self) -> PathBuf {
        self.state.join("reeve.sock")
    }

    /// Its bridge; interface names hold 15 bytes.
    pub fn bridge(&self) -> String {
        self.name.clone()
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.daemon_pid().expect("a running daemon")
    }

    /// Process id of the daemon while one runs.
    pub fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Starts the daemon (again) and waits until it answers.
    pub fn launch(&mut self) {
        self.spawn();
        let socket = if self.options.cri_only { self.cri_socket() } else { self.state.join("agent.sock") };
        until_some("the daemon answers", 30, || {
            if let Some(status) = self.daemon.as_mut().and_then(|d| d.try_wait().expect("daemon")) {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            let answers = std::os::unix::net::UnixStream::connect(&socket).is_ok();
            answers.then_some(())
        });
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("log");
        let mut command = self.lab.command(tools::dist().join("reeve"));
        command.arg(if self.options.cri_only { "cri" } else { "agent" });
        if !self.options.cri_only {
            command.arg("--manifests").arg(&self.manifests).args(["--node-name", &self.name, "--keep"]);
        }
        if let Some(kubeconfig) = &self.options.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        command
            .arg("--root")
            .arg(&self.root)
            .arg("--state")
            .arg(&self.state)
            .arg("--log-root")
            .arg(&self.logs)
            .args(["--bridge", &self.bridge(), "--cgroup-parent", &self.cgroup_parent])
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().cloned())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        self.daemon = Some(command.spawn().expect("reeve"));
    }

    /// Sets the environment of the next daemon.
    pub fn set_environment(&mut self, environment: &[(&str, &str)]) {
        self.options.environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    }

    fn log_path(&self) -> PathBuf {
        self.state.parent().expect("scratch").join("daemon.log")
    }

    /// What the daemons of this node have printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("a running daemon");
        daemon.kill().expect("kill");
        daemon.wait().expect("wait");
    }

    /// Waits until the daemon has killed itself at a fail point.
    pub fn wait_killed(&mut self) {
        let mut daemon = self.daemon.take().expect("a running daemon");
        until("the daemon has reached its fail point", 30, || daemon.try_wait().expect("wait").is_some());
    }

    /// SIGTERM, and its end. Pods stay (`--keep`).
    pub fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            // SAFETY: the process is this node's own child, not yet waited for.
            unsafe { libc::kill(daemon.id() as i32, libc::SIGTERM) };
            until("the daemon has ended", 40, || daemon.try_wait().expect("wait").is_some());
        }
    }

    /// A `reeve` command at this node.
    pub fn reeve(&self, arguments: &[&str]) -> Output {
        self.reeve_command(arguments).output().expect("reeve")
    }

    /// A `reeve` command at this node, to be started by the test.
    pub fn reeve_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(tools::dist().join("reeve"));
        command.args(arguments).env("REEVE_STATE", &self.state).env("REEVE_ROOT", &self.root);
        command
    }

    /// A `reeve` command that must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.reeve(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "`reeve {}` ended with {}\n{text}{}\n--- daemon:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        text
    }

    /// A `crictl` command at this node.
    pub fn crictl(&self, arguments: &[&str]) -> Output {
        let config = self.lab.path(format!("{}-crictl.yaml", self.name));
        let socket = self.cri_socket();
        let text = format!(
            "runtime-endpoint: unix://{0}\nimage-endpoint: unix://{0}\ntimeout: 30\n",
            socket.display()
        );
        fs::write(&config, text).expect("scratch");
        self.lab
            .command(tools::go_tool("crictl"))
            .arg("--config")
            .arg(config)
            .args(arguments)
            .output()
            .expect("crictl")
    }

    /// A `crictl` command that must succeed; what it printed, trimmed.
    pub fn crictl_ok(&self, arguments: &[&str]) -> String {
        let output = self.crictl(arguments);
        assert!(
            output.status.success(),
            "`crictl {}` ended with {}\n{}{}\n--- daemon:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Imports an image archive into this node.
    pub fn import(&self, archive: &Path) {
        self.ok(&["image", "import", archive.to_str().expect("UTF-8")]);
    }

    /// Imports the quick start's image.
    pub fn import_quickstart(&self) {
        self.import(&tools::dist().join("quickstart.tar"));
    }

    /// Writes a manifest as a person's editor would: whole, by rename.
    pub fn apply(&self, file: &str, text: &str) {
        let hidden = self.manifests.join(format!(".{file}.tmp"));
        fs::write(&hidden, text).expect("manifest");
        fs::rename(hidden, self.manifests.join(file)).expect("manifest");
    }

    /// Removes a manifest.
    pub fn withdraw(&self, file: &str) {
        fs::remove_file(self.manifests.join(file)).expect("manifest");
    }

    /// All pods as the agent reports them.
    pub fn pods(&self) -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&self.ok(&["get", "pods", "-A", "-o", "json"])).expect("JSON of `get pods`");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// All pods, or nothing while nobody answers.
    pub fn try_pods(&self) -> Option<Vec<Value>> {
        let output = self.reeve(&["get", "pods", "-A", "-o", "json"]);
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list["items"].as_array().cloned()
    }

    /// Whether the daemon has ended by itself.
    pub fn daemon_ended(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|daemon| daemon.try_wait().expect("wait").is_some())
    }

    /// One pod as the agent reports it.
    pub fn pod(&self, name: &str) -> Option<Value> {
        self.pods().into_iter().find(|pod| pod["metadata"]["name"] == name)
    }

    /// Process id of the first process of a pod's first container, as the runtime's verbose status has it.
    pub fn pod_pid(&self, name: &str) -> u64 {
        let pod = self.pod(name).unwrap_or_else(|| panic!("no pod {name}"));
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id").to_owned();
        let id = id.rsplit('/').next().expect("an id");
        let inspected: Value = serde_json::from_str(&self.crictl_ok(&["inspect", id])).expect("JSON");
        inspected["info"]["pid"].as_u64().expect("a pid in the verbose status")
    }

    /// Waits until a pod satisfies `condition`, and returns it.
    pub fn wait_pod(
        &self,
        name: &str,
        what: &str,
        seconds: u64,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = None;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        loop {
            let pod = self.pod(name);
            if let Some(pod) = pod.as_ref().filter(|pod| condition(pod)) {
                return pod.clone();
            }
            last = pod.or(last);
            assert!(
                std::time::Instant::now() < deadline,
                "pod {name} not within {seconds} s: {what}; last seen:\n{}\n--- daemon:\n{}",
                last.map_or("nothing".into(), |pod| serde_json::to_string_pretty(&pod["status"])
                    .expect("JSON")),
                self.log()
            );
            crate::wait::let_pass(0.03);
        }
    }

    /// Waits until a pod is ready.
    pub fn wait_ready(&self, name: &str) -> Value {
        self.wait_pod(name, "is ready", 60, is_ready)
    }

    /// Waits until a pod is not reported any more.
    pub fn wait_gone(&self, name: &str) {
        until(&format!("pod {name} is gone"), 60, || self.pod(name).is_none());
    }

    /// Removes all manifests, waits until no pod is left, and asserts that nothing else is.
    pub fn empty(&mut self) {
        for entry in fs::read_dir(&self.manifests).expect("manifests") {
            let path = entry.expect("entry").path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("manifest");
        }
        until("all pods are gone", 90, || self.pods().is_empty());
        leaks::assert_none(self);
    }
}

/// Whether a pod's Ready condition is True.
pub fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        // A failed test leaves pods: shims and their containers go by their cgroup and their directory,
        // the rest with the lab.
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        leaks::destroy(self);
    }
}
