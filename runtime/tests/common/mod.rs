//! A bundle of the tests' own making, and the binary under test.
// Every test program uses another part of this.
#![allow(dead_code, missing_docs, clippy::print_stderr)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

pub(crate) const RUNTIME: &str = env!("CARGO_BIN_EXE_reeve-runtime");
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 24] = [
    "sh", "cat", "ls", "id", "sleep", "true", "mount", "umount", "env", "stat", "grep", "test", "touch",
    "mkdir", "hostname", "readlink", "echo", "dd", "head", "kill", "ps", "chroot", "ln", "mknod",
];

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    #[track_caller]
    pub(crate) fn fails_with(self, words: &str) -> String {
        assert_ne!(self.code, 0, "it succeeded; stdout: {}", self.stdout);
        assert!(self.stderr.contains(words), "{words:?} is not in: {}", self.stderr);
        self.stderr
    }
}

pub(crate) fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("run the runtime");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A bundle with a busybox root, its own state directory and cgroup; all of it goes when it is dropped.
pub(crate) struct Bundle {
    directory: tempfile::TempDir,
    pub(crate) id: String,
    pub(crate) config: Value,
}

impl Bundle {
    pub(crate) fn new() -> Bundle {
        let directory = tempfile::Builder::new().prefix("reeve-runtime-").tempdir().expect("tempdir");
        let id = format!("reeve-test-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let config = config(&id);
        let bundle = Bundle { directory, id, config };
        bundle.make_root();
        bundle
    }

    fn make_root(&self) {
        let static_busybox =
            std::fs::read(BUSYBOX).is_ok_and(|file| !file.windows(12).any(|w| w == b"/ld-linux-x8"));
        assert!(static_busybox, "these tests need a static {BUSYBOX}: apt-get install busybox-static");
        for name in ["bin", "etc", "tmp", "proc", "sys", "dev"] {
            std::fs::create_dir_all(self.root().join(name)).expect("mkdir");
        }
        std::fs::copy(BUSYBOX, self.root().join("bin/busybox")).expect("copy busybox");
        for applet in APPLETS {
            symlink("busybox", self.root().join("bin").join(applet)).expect("symlink");
        }
        std::fs::write(
            self.root().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
        )
        .expect("passwd");
    }

    /// The directory of the bundle, and of anything else a test wants.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Bundle {
        self.config["process"]["args"] = json!(args);
        self
    }

    pub(crate) fn shell(self, script: &str) -> Bundle {
        self.args(&["sh", "-c", script])
    }

    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Bundle {
        let (parent, key) = pointer.rsplit_once('/').expect("pointer");
        let parent = self.config.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
        parent[key] = value;
        self
    }

    pub(crate) fn mount(mut self, mount: Value) -> Bundle {
        self.config["mounts"].as_array_mut().expect("mounts").push(mount);
        self
    }

    /// A namespace in place of the one of its type, or besides the others.
    pub(crate) fn namespace(mut self, namespace: Value) -> Bundle {
        let list = self.config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        list.retain(|known| known["type"] != namespace["type"]);
        list.push(namespace);
        self
    }

    pub(crate) fn without_namespace(mut self, kind: &str) -> Bundle {
        let list = self.config["linux"]["namespaces"].as_array_mut().expect("namespaces");
        list.retain(|known| known["type"] != kind);
        self
    }

    pub(crate) fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).expect("config.json");
    }

    /// The binary with the state directory of this bundle; stdin is empty.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(RUNTIME);
        command.arg("--root").arg(self.state_root()).args(args).stdin(Stdio::null()).current_dir(self.path());
        command
    }

    pub(crate) fn cli(&self, args: &[&str]) -> Outcome {
        outcome(&mut self.command(args))
    }

    /// `run` in the foreground.
    pub(crate) fn run(&self) -> Outcome {
        self.write();
        self.cli(&["run", &self.id])
    }

    /// `create`, with the container's output nowhere: it would keep a pipe open.
    pub(crate) fn create(&self) -> Outcome {
        self.write();
        self.detached(&["create", &self.id])
    }

    /// A command whose process outlives it.
    pub(crate) fn detached(&self, args: &[&str]) -> Outcome {
        let log = self.path().join("detached.log");
        let file = std::fs::File::create(&log).expect("log");
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(file);
        let code = command.status().expect("run the runtime").code().unwrap_or(-1);
        Outcome { code, stdout: String::new(), stderr: std::fs::read_to_string(&log).unwrap_or_default() }
    }

    /// A container whose program runs.
    pub(crate) fn start(&self) -> &Bundle {
        self.create().ok();
        self.cli(&["start", &self.id]).ok();
        self
    }

    pub(crate) fn exec(&self, args: &[&str]) -> Outcome {
        self.cli(&[&["exec", self.id.as_str()][..], args].concat())
    }

    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.cli(&["state", &self.id]).ok()).expect("state")
    }

    pub(crate) fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().expect("pid")
    }

    /// The v1 directory of `controller`, or the v2 one.
    pub(crate) fn cgroup(&self, controller: &str) -> PathBuf {
        if is_v2() {
            Path::new("/sys/fs/cgroup").join(&self.id)
        } else {
            Path::new("/sys/fs/cgroup").join(controller).join(&self.id)
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).output();
    }
}

/// Docker's usual configuration, without a terminal.
fn config(id: &str) -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE"
    ]);
    json!({
        "ociVersion": "1.2.1",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/",
            "env": ["PATH=/bin"],
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["ro", "nosuid", "noexec", "nodev"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"}
            ],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

/// Whether this machine has cgroup v2 alone.
pub(crate) fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Says that a test needs another machine.
pub(crate) fn skip(test: &str, why: &str) {
    eprintln!("skipped: {test}: {why}");
}

/// The inode behind /proc/<pid>/ns/<name>.
pub(crate) fn namespace_of(pid: impl std::fmt::Display, name: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).expect("namespace").to_string_lossy().into_owned()
}

/// Waits until `done`; panics after ten seconds.
#[track_caller]
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed().as_secs() < 10, "it does not happen");
        std::thread::yield_now();
    }
}
