//! A shim under test, its client, and bundles for its containers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use prost::Message;
use reeve_proto::shim::{
    Create, Delete, Error, Event, Exit, ListReply, Mount, Pong, Request, Response, Shutdown, Signal, Start,
    Subscribe, Wait, error::Code, event, request, response,
};
use reeve_shim::frame::{Frame, FrameReader, FrameWriter, Progress};
use serde_json::{Value, json};

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a condition that nothing announces.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        nix::poll::poll(&mut [], 5u8).unwrap();
    }
}

/// One connection to a shim.
pub(crate) struct Client {
    socket: UnixStream,
    reader: FrameReader,
}

impl Client {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, reader: FrameReader::default() }
    }

    pub(crate) fn send(&self, kind: request::Kind, descriptors: Vec<OwnedFd>) {
        let mut writer = FrameWriter::default();
        writer.push(Frame::new(&Request { kind: Some(kind) }, descriptors));
        writer.flush(self.socket.as_fd()).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Frame {
        match self.reader.read(self.socket.as_fd()).unwrap() {
            Progress::Frame(frame) => frame,
            other => panic!("no answer: {other:?}"),
        }
    }

    /// Sends a request and takes its answer.
    pub(crate) fn call(
        &mut self,
        kind: request::Kind,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(response::Kind, Vec<OwnedFd>), Error> {
        self.send(kind, descriptors);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Result<(response::Kind, Vec<OwnedFd>), Error> {
        let frame = self.receive();
        let response = Response::decode(frame.body.as_slice()).unwrap();
        match response.error {
            Some(error) => Err(error),
            None => Ok((response.kind.unwrap(), frame.descriptors)),
        }
    }

    pub(crate) fn ask(&mut self, kind: request::Kind) -> Result<response::Kind, Error> {
        self.call(kind, Vec::new()).map(|(kind, _)| kind)
    }

    /// The next event of a subscription.
    pub(crate) fn event(&mut self) -> event::Kind {
        Event::decode(self.receive().body.as_slice()).unwrap().kind.unwrap()
    }

    /// The next exit of a subscription.
    pub(crate) fn exit(&mut self) -> Exit {
        loop {
            if let event::Kind::Exit(exit) = self.event() {
                return exit;
            }
        }
    }
}

/// What a container of a test is like.
pub(crate) struct Plan {
    pub(crate) create: Create,
    pub(crate) args: Vec<String>,
    pub(crate) terminal: bool,
    pub(crate) resources: Value,
    pub(crate) host_pids: bool,
}

/// A running shim with a directory of its own; all of it is gone when this is dropped.
pub(crate) struct Pod {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) shim: Child,
    pub(crate) pong: Pong,
    share_pid: bool,
    cgroup: String,
}

impl Pod {
    pub(crate) fn new() -> Self {
        Pod::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::DirBuilder::new().mode(0o700).create(dir.path().join("shim")).unwrap();
        let rootfs = dir.path().join("image");
        for folder in ["bin", "proc", "dev", "tmp", "sys"] {
            fs::create_dir_all(rootfs.join(folder)).unwrap();
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).unwrap();
        for applet in
            ["sh", "cat", "echo", "sleep", "stty", "dd", "ps", "yes", "head", "printf", "ls", "true", "tail"]
        {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        let mut shim = Command::new(env!("CARGO_BIN_EXE_reeve-shim"))
            .args(["--id", "test", "--dir"])
            .arg(dir.path().join("shim"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shim.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let cgroup = format!("/reeve-test-shim-{}", shim.id());
        let mut pod =
            Pod { dir, shim, pong: Pong::default(), share_pid: options.contains(&"--share-pid"), cgroup };
        pod.pong = match pod.client().ask(request::Kind::Ping(Default::default())) {
            Ok(response::Kind::Pong(pong)) => pong,
            other => panic!("{other:?}"),
        };
        assert_eq!(pod.pong.pid, pod.shim.id());
        pod
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(UnixStream::connect(self.path("shim/shim.sock")).unwrap())
    }

    pub(crate) fn subscribe(&self) -> Client {
        let mut client = self.client();
        client.ask(request::Kind::Subscribe(Subscribe {})).unwrap();
        client
    }

    pub(crate) fn ask(&self, kind: request::Kind) -> Result<response::Kind, Error> {
        self.client().ask(kind)
    }

    /// A container that runs a shell script.
    pub(crate) fn script(&self, id: &str, script: &str) -> Plan {
        let log = self.path(&format!("{id}.log")).to_str().unwrap().to_owned();
        Plan {
            create: Create { container_id: id.to_owned(), log_path: log, ..Create::default() },
            args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            terminal: false,
            resources: json!({}),
            host_pids: false,
        }
    }

    /// Writes the plan's bundle and creates its container; gives its first process.
    pub(crate) fn create(&self, plan: &Plan) -> Result<u32, Error> {
        match self.ask(request::Kind::Create(self.bundle(plan)))? {
            response::Kind::Process(process) => Ok(process.pid),
            other => panic!("{other:?}"),
        }
    }

    /// The request that creates the plan's container.
    pub(crate) fn bundle(&self, plan: &Plan) -> Create {
        let mut create = plan.create.clone();
        let id = &create.container_id;
        let bundle = self.path(&format!("bundles/{id}"));
        for name in ["upper", "work"] {
            fs::create_dir_all(bundle.join(name)).unwrap();
        }
        fs::write(bundle.join("config.json"), self.config(plan).to_string()).unwrap();
        create.rootfs = vec![Mount {
            r#type: "overlay".into(),
            options: vec![
                format!("lowerdir={}", self.path("image").display()),
                format!("upperdir={}", bundle.join("upper").display()),
                format!("workdir={}", bundle.join("work").display()),
            ],
            ..Mount::default()
        }];
        create.bundle = bundle.to_str().unwrap().into();
        create
    }

    fn config(&self, plan: &Plan) -> Value {
        let shim = self.pong.pid;
        let mut namespaces = vec![
            json!({ "type": "mount" }),
            json!({ "type": "ipc", "path": format!("/proc/{shim}/ns/ipc") }),
            json!({ "type": "uts", "path": format!("/proc/{shim}/ns/uts") }),
        ];
        if self.share_pid {
            namespaces
                .push(json!({ "type": "pid", "path": format!("/proc/{}/ns/pid", self.pong.pod_init_pid) }));
        } else if !plan.host_pids {
            namespaces.push(json!({ "type": "pid" }));
        }
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": plan.terminal,
                "user": { "uid": 0, "gid": 0 },
                "args": plan.args,
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": { "path": "rootfs" },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["newinstance", "ptmxmode=0666", "mode=0620"] },
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("{}/{}", self.cgroup, plan.create.container_id),
                "resources": plan.resources,
            },
        })
    }

    pub(crate) fn start(&self, id: &str) -> Result<response::Kind, Error> {
        self.ask(request::Kind::Start(Start { container_id: id.to_owned() }))
    }

    /// Creates and starts.
    pub(crate) fn run(&self, plan: &Plan) -> u32 {
        let pid = self.create(plan).unwrap();
        self.start(&plan.create.container_id).unwrap();
        pid
    }

    /// Waits for the end of a container, or of an exec in it.
    pub(crate) fn wait(&self, id: &str, exec: &str) -> Exit {
        let wait = Wait { container_id: id.to_owned(), exec_id: exec.to_owned() };
        match self.ask(request::Kind::Wait(wait)) {
            Ok(response::Kind::Exit(exit)) => exit,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn signal(
        &self,
        id: &str,
        exec: &str,
        signal: i32,
        all: bool,
    ) -> Result<response::Kind, Error> {
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        self.ask(request::Kind::Signal(Signal { container_id, exec_id, signal: signal as u32, all }))
    }

    pub(crate) fn delete(&self, id: &str, force: bool) -> Result<response::Kind, Error> {
        self.ask(request::Kind::Delete(Delete { container_id: id.to_owned(), force }))
    }

    pub(crate) fn list(&self) -> ListReply {
        match self.ask(request::Kind::List(Default::default())) {
            Ok(response::Kind::List(list)) => list,
            other => panic!("{other:?}"),
        }
    }

    /// The entries of a container's log, without their times.
    pub(crate) fn log(&self, id: &str) -> Vec<String> {
        entries(&self.path(&format!("{id}.log")))
    }

    /// Waits until the log of a container has this entry.
    pub(crate) fn await_log(&self, id: &str, entry: &str) {
        eventually(&format!("{entry:?} in the log of {id}"), || {
            self.log(id).iter().any(|line| line == entry)
        });
    }

    /// Ends the shim as the engine does, and waits for its end.
    pub(crate) fn shut_down(mut self) {
        self.ask(request::Kind::Shutdown(Shutdown { force: true })).unwrap();
        assert_eq!(self.shim.wait().unwrap().code(), Some(0));
        assert!(!self.path("shim/shim.sock").exists());
        for hierarchy in self.cgroups() {
            let left = fs::read_dir(&hierarchy).into_iter().flatten().flatten();
            let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect();
            assert!(left.is_empty(), "cgroups are left: {left:?}");
        }
    }

    /// The pod's cgroup in each hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let below = Path::new("/sys/fs/cgroup");
        let mut all = vec![below.join(&self.cgroup[1..])];
        let hierarchies = fs::read_dir(below).unwrap().flatten();
        all.extend(hierarchies.map(|entry| entry.path().join(&self.cgroup[1..])));
        all
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Of a test that failed; the kernel ends the containers with the shim.
        let _ = self.shim.kill();
        let _ = self.shim.wait();
        if std::thread::panicking() {
            eprintln!("shim.log: {}", fs::read_to_string(self.path("shim/shim.log")).unwrap_or_default());
        }
        for cgroup in self.cgroups() {
            for below in
                fs::read_dir(&cgroup).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir())
            {
                let gone = |_: &()| fs::remove_dir(below.path()).is_ok() || !below.path().exists();
                let deadline = Instant::now() + Duration::from_secs(5);
                while !gone(&()) && Instant::now() < deadline {
                    let _ = nix::poll::poll(&mut [], 5u8);
                }
            }
            let _ = fs::remove_dir(&cgroup);
        }
    }
}

/// The entries of a log, without their times.
pub(crate) fn entries(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| line.split_once(' ').map(|(_, entry)| entry.to_owned());
    text.lines().map(|line| entry(line).unwrap_or_else(|| panic!("not an entry: {line:?}"))).collect()
}

/// Whether a process is there, and not just unreaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with(['Z', 'X']))
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Code {
    result.unwrap_err().code()
}
