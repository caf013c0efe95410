use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What the CRI server needs to know besides the engine.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Unix socket that carries the runtime service and the image service.
    pub socket: PathBuf,
    /// The mode of the socket: whoever may connect is root on this node.
    pub socket_mode: u32,
    /// The engine's root: clients ask the filesystem of this directory how full it is.
    pub root: PathBuf,
    /// Where the streaming server listens. Tokens are its only credential, so this stays on loopback.
    pub streaming: SocketAddr,
    /// The version of this runtime as `Version` reports it: semver.
    pub version: String,
}

impl Config {
    /// The defaults for a server on `socket` over an engine on `root`.
    pub fn new(socket: impl Into<PathBuf>, root: impl Into<PathBuf>) -> Config {
        Config {
            socket: socket.into(),
            socket_mode: 0o660,
            root: root.into(),
            streaming: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
