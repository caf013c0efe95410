use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the CRI server could not start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation on the socket or its lock failed.
    #[error("cannot {action} {}", path.display())]
    Socket {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another server holds the lock of this socket.
    #[error("{} is served by another process: stop it, or choose another socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket lies where the socket should be.
    #[error("{} exists and is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The streaming server could not listen.
    #[error("cannot listen on {address} for streaming")]
    Streaming {
        /// The address.
        address: SocketAddr,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Streaming was to listen where others could reach it.
    #[error("streaming address {address} is not on loopback: its tokens are its only credential")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The gRPC server ended with a failure.
    #[error("grpc server on {}", path.display())]
    Grpc {
        /// The socket.
        path: PathBuf,
        /// The server's answer.
        source: tonic::transport::Error,
    },
}
