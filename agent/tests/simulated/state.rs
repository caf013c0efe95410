//! Sandboxes and containers, and what must always hold for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reeve_proto::cri as proto;

pub const POD_UID: &str = "io.kubernetes.pod.uid";

#[derive(Clone, Debug)]
pub struct SandboxSim {
    pub config: proto::PodSandboxConfig,
    pub ready: bool,
    pub created_at: i64,
}

#[derive(Clone, Debug)]
pub struct ContainerSim {
    pub sandbox: String,
    pub config: proto::ContainerConfig,
    pub state: proto::ContainerState,
    pub created_at: i64,
    pub started_at: i64,
    pub finished_at: i64,
    pub exit_code: i32,
    /// Whether the agent asked for its end.
    pub killed: bool,
}

impl ContainerSim {
    pub fn name(&self) -> &str {
        &self.config.metadata.as_ref().unwrap().name
    }

    pub fn written_image(&self) -> &str {
        &self.config.image.as_ref().unwrap().user_specified_image
    }

    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().unwrap().attempt
    }
}

/// When, which attempt, in which sandbox.
type Start = (i64, u32, String);

#[derive(Debug, Default)]
pub struct State {
    pub sandboxes: BTreeMap<String, SandboxSim>,
    pub containers: BTreeMap<String, ContainerSim>,
    pub images: BTreeSet<String>,
    pub next: u64,
    /// Ends of containers by pod and name: when, and whether it was a crash.
    pub ends: HashMap<(String, String), Vec<(i64, bool)>>,
    /// Starts by pod and name: when, which attempt, in which sandbox.
    pub starts: HashMap<(String, String), Vec<Start>>,
    pub violations: Vec<String>,
}

impl State {
    pub fn id(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{:06}", self.next)
    }

    pub fn uid(&self, container: &ContainerSim) -> String {
        self.sandboxes.get(&container.sandbox).map(|s| s.config.labels[POD_UID].clone()).unwrap_or_default()
    }

    pub fn log_path(&self, container: &ContainerSim) -> String {
        let directory = self.sandboxes.get(&container.sandbox).map(|s| s.config.log_directory.as_str());
        format!("{}/{}", directory.unwrap_or_default(), container.config.log_path)
    }

    pub fn finish(&mut self, id: &str, now: i64, code: i32) {
        let Some(c) = self.containers.get_mut(id) else { return };
        if c.state != proto::ContainerState::ContainerRunning {
            return;
        }
        c.state = proto::ContainerState::ContainerExited;
        c.finished_at = now;
        c.exit_code = code;
        let c = c.clone();
        let key = (self.uid(&c), c.name().to_owned());
        self.ends.entry(key).or_default().push((now, !c.killed));
    }

    pub fn stop_sandbox(&mut self, id: &str, now: i64, code: i32) {
        let inside: Vec<String> =
            self.containers.iter().filter(|(_, c)| c.sandbox == id).map(|(id, _)| id.clone()).collect();
        for container in inside {
            if let Some(c) = self.containers.get_mut(&container) {
                c.killed = true;
            }
            self.finish(&container, now, code);
        }
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.ready = false;
        }
        self.check();
    }

    fn fail(&mut self, text: String) {
        if !self.violations.contains(&text) {
            self.violations.push(text);
        }
    }

    /// What holds at every moment.
    pub fn check(&mut self) {
        let mut running = BTreeSet::new();
        let mut ready = BTreeMap::new();
        let mut wrong = Vec::new();
        for (id, sandbox) in self.sandboxes.iter().filter(|(_, s)| s.ready) {
            let m = sandbox.config.metadata.clone().unwrap();
            if let Some(other) = ready.insert((m.namespace.clone(), m.name.clone()), id.clone()) {
                wrong.push(format!("two sandboxes of pod {}: {other} and {id}", m.name));
            }
        }
        for c in self.containers.values().filter(|c| c.state == proto::ContainerState::ContainerRunning) {
            if !running.insert((self.uid(c), c.name().to_owned())) {
                wrong.push(format!("two instances of container {}", c.name()));
            }
            if !self.sandboxes.get(&c.sandbox).is_some_and(|s| s.ready) {
                wrong.push(format!("container {} runs outside of a sandbox", c.name()));
            }
        }
        wrong.into_iter().for_each(|text| self.fail(text));
    }

    /// What holds when a container starts: back-off kept, init containers through.
    pub fn check_start(&mut self, id: &str, now: i64) {
        let c = self.containers[id].clone();
        let key = (self.uid(&c), c.name().to_owned());
        let level = c
            .config
            .annotations
            .get("reeve.container.crashLevel")
            .and_then(|l| l.parse().ok())
            .unwrap_or(0u32);
        let ends = self.ends.get(&key).cloned().unwrap_or_default();
        let starts = self.starts.get(&key).cloned().unwrap_or_default();
        let crashes = starts.len().min(ends.iter().filter(|(_, crash)| *crash).count());
        // In a new sandbox, after a reboot, everything starts at once.
        let same_sandbox = starts.last().is_some_and(|(_, _, sandbox)| *sandbox == c.sandbox);
        if let Some((at, true)) = ends.last()
            && crashes > 1
            && same_sandbox
        {
            let waited = (now - at) / 1_000_000_000;
            let least = match level {
                0 | 1 => 0,
                n => (10 << (n - 2).min(5)).min(300),
            };
            if waited < least {
                self.fail(format!(
                    "container {} of level {level} started {waited}s after its crash",
                    c.name()
                ));
            }
        }
        if let Some((_, last, _)) = starts.last()
            && c.attempt() < *last
        {
            self.fail(format!("restart count of {} went back from {last} to {}", c.name(), c.attempt()));
        }
        self.starts.entry(key).or_default().push((now, c.attempt(), c.sandbox.clone()));
        if c.name().starts_with("main") {
            self.check_init(&c);
        }
    }

    /// Containers named `init-N` end well, in order, before one named `main…` starts in the same sandbox.
    fn check_init(&mut self, main: &ContainerSim) {
        let annotations = &self.sandboxes[&main.sandbox].config.annotations;
        let count: u32 = annotations.get("test/inits").and_then(|n| n.parse().ok()).unwrap_or(0);
        for n in 0..count {
            let name = format!("init-{n}");
            let good = self.containers.values().any(|c| {
                c.sandbox == main.sandbox
                    && c.name() == name
                    && c.state == proto::ContainerState::ContainerExited
                    && c.exit_code == 0
            });
            if !good {
                self.fail(format!("{} started before {name} was through", main.name()));
            }
        }
    }
}
