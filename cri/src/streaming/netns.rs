//! Connections from inside a sandbox's network namespace.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdTcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A program on loopback answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to `port` on the loopback of the namespace at `netns`, or of the host without one.
///
/// A socket belongs to the namespace of the thread that made it, and stays there whoever uses it (setns(2)). So
/// a thread made for this enters the namespace, connects, and ends; no thread of the runtime ever leaves the
/// host's.
pub(super) async fn connect(netns: Option<PathBuf>, port: u16) -> io::Result<TcpStream> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("port-forward".to_owned()).stack_size(128 * 1024).spawn(move || {
        // The client may have gone meanwhile: nobody wants the connection then.
        let _ = sender.send(connect_here(netns, port));
    })?;
    let stream = receiver.await.map_err(|_| io::Error::other("the connecting thread failed"))??;
    TcpStream::from_std(stream)
}

fn connect_here(netns: Option<PathBuf>, port: u16) -> io::Result<StdTcpStream> {
    if let Some(path) = netns {
        setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
    }
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let stream = StdTcpStream::connect_timeout(&v4, PATIENCE)
        // The program may listen on IPv6 alone; the first refusal says more than that there is no IPv6.
        .or_else(|refused| StdTcpStream::connect_timeout(&v6, PATIENCE).map_err(|_| refused))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
