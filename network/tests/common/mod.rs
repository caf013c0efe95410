//! A little world for each test: its own network and mount namespaces, a host in it, pods, and an outside.
//!
//! Everything happens in threads, so tests run side by side and leave nothing: the namespaces end with them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod raw;

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use reeve_network::{Attachment, Config, Network, PortMapping, Protocol};

pub const PATIENCE: Duration = Duration::from_secs(3);
/// Where the host meets the outside.
pub const HOST: &str = "192.0.2.1";
pub const OUTSIDE: &str = "192.0.2.2";
pub const HOST6: &str = "2001:db8:1::1";
pub const OUTSIDE6: &str = "2001:db8:1::2";

type Job = Box<dyn FnOnce() + Send>;

/// A thread that lives in a network namespace and does there what it is told.
pub struct Place {
    jobs: Sender<Job>,
    pub tid: i32,
}

impl Place {
    fn new(enter: impl FnOnce() + Send + 'static) -> Self {
        let (jobs, queue) = channel::<Job>();
        let (hello, id) = channel();
        std::thread::spawn(move || {
            enter();
            hello.send(nix::unistd::gettid().as_raw()).expect("a listener");
            queue.into_iter().for_each(|job| job());
        });
        Self { jobs, tid: id.recv().expect("a thread") }
    }

    /// A namespace of its own.
    pub fn fresh() -> Self {
        Self::new(|| unshare(CloneFlags::CLONE_NEWNET).expect("unshare"))
    }

    /// The namespace of the calling thread.
    pub fn here() -> Self {
        Self::new(|| {})
    }

    /// A pinned namespace.
    pub fn of(attachment: &Attachment) -> Self {
        let path = attachment.netns.clone();
        Self::new(move || {
            let file = std::fs::File::open(path).expect("a pinned namespace");
            setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
        })
    }

    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        self.jobs.send(Box::new(move || drop(answer.send(job())))).expect("a thread");
        answered.recv().expect("the job to end well")
    }

    /// Serves TCP at this port for good: each caller is told under which address it was seen.
    pub fn serve_tcp(&self, ip: &str, port: u16) {
        let address = SocketAddr::new(ip.parse().expect("an address"), port);
        let listener = self.run(move || TcpListener::bind(address).expect("bind"));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let seen = stream.peer_addr().map(|peer| peer.ip().to_canonical().to_string());
                // The caller may have given up.
                let _ = stream.write_all(seen.unwrap_or_default().as_bytes());
            }
        });
    }

    /// Serves UDP likewise.
    pub fn serve_udp(&self, ip: &str, port: u16) {
        let address = SocketAddr::new(ip.parse().expect("an address"), port);
        let socket = self.run(move || UdpSocket::bind(address).expect("bind"));
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
            }
        });
    }

    /// Calls a TCP server; gives what it says.
    pub fn call_tcp(&self, ip: &str, port: u16) -> io::Result<String> {
        let address = SocketAddr::new(ip.parse().expect("an address"), port);
        self.run(move || {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        })
    }

    /// Calls a UDP server; gives what it says.
    pub fn call_udp(&self, ip: &str, port: u16) -> io::Result<String> {
        let address = SocketAddr::new(ip.parse().expect("an address"), port);
        self.run(move || {
            let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
            call_from(&socket, address)
        })
    }
}

/// Sends from this socket until there is an answer.
pub fn call_from(socket: &UdpSocket, address: SocketAddr) -> io::Result<String> {
    socket.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut buffer = [0; 64];
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..5 {
        socket.send_to(b"who am I", address)?;
        match socket.recv_from(&mut buffer) {
            Ok((length, _)) => return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The world of one test.
pub struct World {
    pub host: Place,
    pub directory: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// Runs a test in a world of its own.
    pub fn with(test: impl FnOnce(&World) + Send + 'static) {
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root, to make namespaces");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("private mounts");
            sh("ip link set lo up");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let directory = tempfile::tempdir().expect("a directory");
            test(&World { host: Place::here(), directory, runtime });
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }

    pub fn config(&self) -> Config {
        let at = |name| self.directory.path().join(name);
        Config::new("rvt0", "10.88.0.0/16".parse().expect("a subnet"), at("state"), at("netns"))
    }

    pub fn dual(&self) -> Config {
        Config { subnet6: Some("fd00:88::/64".parse().expect("a subnet")), ..self.config() }
    }

    pub fn open(&self, config: Config) -> Network {
        self.wait(Network::open(config)).expect("a network")
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn attach(&self, network: &Network, id: &str, ports: &[PortMapping]) -> Attachment {
        self.wait(network.attach(id, ports)).expect("an attachment")
    }

    /// A machine outside, on a wire to the host, that knows nothing of the pods.
    pub fn outside(&self) -> Place {
        let outside = Place::fresh();
        sh(&format!("ip link add up0 type veth peer name eth0 netns {}", outside.tid));
        sh(&format!(
            "ip addr add {HOST}/24 dev up0; ip -6 addr add {HOST6}/64 dev up0 nodad; ip link set up0 up"
        ));
        outside.run(|| {
            sh("ip link set lo up");
            sh(&format!("ip addr add {OUTSIDE}/24 dev eth0; ip -6 addr add {OUTSIDE6}/64 dev eth0 nodad"));
            sh("ip link set eth0 up");
        });
        outside
    }

    /// All that a network could leave behind.
    pub fn inventory(&self) -> String {
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts");
        let own = self.directory.path().display().to_string();
        let mounts: Vec<_> = mounts.lines().filter(|line| line.contains(&own)).collect();
        let pins = std::fs::read_dir(self.directory.path().join("netns")).map_or(0, Iterator::count);
        // What the kernel adds by itself and later: states of links, duplicate address detection.
        let addresses = sh("ip -o addr").replace(" tentative", "");
        let routes = sh("ip route").replace(" linkdown", "");
        let links = sh("ls /proc/sys/net/ipv4/conf");
        format!("{links}{addresses}{routes}pins {pins}\n{mounts:?}\n{}", rules())
    }
}

/// The rules as `nft` shows them, where it is installed.
pub fn rules() -> String {
    if !Path::new("/usr/sbin/nft").exists() {
        return String::new();
    }
    sh("nft list ruleset")
}

/// Runs a shell command in the caller's namespaces; gives what it prints.
pub fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

pub fn mapping(host_port: u16, container_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping { host_ip: None, host_port, container_port, protocol }
}

pub fn bound(host_ip: &str, host_port: u16, container_port: u16) -> PortMapping {
    let host_ip: IpAddr = host_ip.parse().expect("an address");
    PortMapping { host_ip: Some(host_ip), host_port, container_port, protocol: Protocol::Tcp }
}
