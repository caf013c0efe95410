//! Calls to one shim. A connection per call: they are cheap (a socket of the same machine), a call that timed
//! out leaves nothing behind, and a restarted engine needs no reconnecting.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use reeve_proto::shim::{self as wire, error::Code, request, response};
use tokio::net::UnixStream;

use super::frame;
use crate::types::TerminalSize;

/// For calls that only read or signal. The machine may be busy, so it is long; a shim that needs longer hangs.
const QUICK: Duration = Duration::from_secs(10);
/// For calls that make or take apart a container: slow disks, hooks, cgroups under load.
const SLOW: Duration = Duration::from_secs(120);

/// Why a call to a shim failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShimError {
    /// The shim could not be started.
    #[error("cannot start the shim of {id}: {problem}")]
    Spawn {
        /// Of which sandbox.
        id: String,
        /// What the shim, or the kernel, said.
        problem: String,
    },
    /// The shim's socket does not take connections, or broke.
    #[error("shim at {path}: {call}")]
    Connection {
        /// The shim's directory.
        path: PathBuf,
        /// Which call.
        call: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The shim did not answer in time.
    #[error("shim at {path}: no answer to {call} within {after:?}")]
    Timeout {
        /// The shim's directory.
        path: PathBuf,
        /// Which call.
        call: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The shim's answer is not one to this call.
    #[error("shim at {path}: unexpected answer to {call}")]
    Protocol {
        /// The shim's directory.
        path: PathBuf,
        /// Which call.
        call: &'static str,
    },
    /// The shim did the call and failed.
    #[error("{message}")]
    Refused {
        /// The kind of failure.
        code: Code,
        /// The shim's words.
        message: String,
    },
}

impl ShimError {
    /// The shim answered with this kind of failure.
    pub(crate) fn is(&self, wanted: Code) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

type Result<T> = std::result::Result<T, ShimError>;

/// Knows where one shim's socket is.
#[derive(Debug)]
pub(crate) struct Client {
    dir: PathBuf,
}

impl Client {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) async fn ping(&self) -> Result<wire::Pong> {
        match self.call("ping", request::Kind::Ping(wire::Ping {}), QUICK).await? {
            response::Kind::Pong(pong) => Ok(pong),
            _ => Err(self.unexpected("ping")),
        }
    }

    /// Makes a container; gives its first process's id.
    pub(crate) async fn create(&self, create: wire::Create) -> Result<u32> {
        match self.call("create", request::Kind::Create(create), SLOW).await? {
            response::Kind::Process(process) => Ok(process.pid),
            _ => Err(self.unexpected("create")),
        }
    }

    pub(crate) async fn start(&self, container: &str) -> Result<()> {
        let start = wire::Start { container_id: container.to_owned() };
        self.empty("start", request::Kind::Start(start), SLOW).await
    }

    /// `exec` empty: the first process; `all`: every process, with SIGKILL only.
    pub(crate) async fn signal(&self, container: &str, exec: &str, signal: i32, all: bool) -> Result<()> {
        let signal = wire::Signal {
            container_id: container.to_owned(),
            exec_id: exec.to_owned(),
            signal: signal.unsigned_abs(),
            all,
        };
        self.empty("signal", request::Kind::Signal(signal), QUICK).await
    }

    /// Runs a process; gives the terminal's master where it has a terminal.
    pub(crate) async fn exec(&self, exec: wire::Exec, fds: &[OwnedFd]) -> Result<Option<OwnedFd>> {
        let (answer, mut received) = self.exchange("exec", request::Kind::Exec(exec), fds, SLOW).await?;
        match answer {
            response::Kind::Process(_) => Ok(received.pop()),
            _ => Err(self.unexpected("exec")),
        }
    }

    pub(crate) async fn attach(&self, attach: wire::Attach, fds: &[OwnedFd]) -> Result<()> {
        match self.exchange("attach", request::Kind::Attach(attach), fds, QUICK).await?.0 {
            response::Kind::Empty(_) => Ok(()),
            _ => Err(self.unexpected("attach")),
        }
    }

    pub(crate) async fn resize(&self, container: &str, size: TerminalSize) -> Result<()> {
        let resize = wire::ResizeTty {
            container_id: container.to_owned(),
            columns: size.columns.into(),
            rows: size.rows.into(),
        };
        self.empty("resize", request::Kind::ResizeTty(resize), QUICK).await
    }

    pub(crate) async fn update(&self, container: &str, resources: Vec<u8>) -> Result<()> {
        let update = wire::Update { container_id: container.to_owned(), resources };
        self.empty("update", request::Kind::Update(update), QUICK).await
    }

    pub(crate) async fn stats(&self, containers: Vec<String>) -> Result<Vec<wire::ContainerStats>> {
        let stats = wire::Stats { container_ids: containers };
        match self.call("stats", request::Kind::Stats(stats), QUICK).await? {
            response::Kind::Stats(reply) => Ok(reply.containers),
            _ => Err(self.unexpected("stats")),
        }
    }

    pub(crate) async fn reopen_log(&self, container: &str) -> Result<()> {
        let reopen = wire::ReopenLog { container_id: container.to_owned() };
        self.empty("reopen log", request::Kind::ReopenLog(reopen), QUICK).await
    }

    pub(crate) async fn list(&self) -> Result<Vec<wire::ContainerState>> {
        match self.call("list", request::Kind::List(wire::List {}), QUICK).await? {
            response::Kind::List(reply) => Ok(reply.containers),
            _ => Err(self.unexpected("list")),
        }
    }

    /// Takes a container out; one that is not there is no failure.
    pub(crate) async fn delete(&self, container: &str) -> Result<()> {
        let delete = wire::Delete { container_id: container.to_owned(), force: true };
        match self.empty("delete", request::Kind::Delete(delete), SLOW).await {
            Err(error) if error.is(Code::NotFound) => Ok(()),
            result => result,
        }
    }

    /// Waits for a process to end, for as long as it lives.
    pub(crate) async fn wait(&self, container: &str, exec: &str) -> Result<wire::Exit> {
        let wait = wire::Wait { container_id: container.to_owned(), exec_id: exec.to_owned() };
        match self.converse("wait", request::Kind::Wait(wait), &[]).await?.0 {
            response::Kind::Exit(exit) => Ok(exit),
            _ => Err(self.unexpected("wait")),
        }
    }

    pub(crate) async fn shutdown(&self) -> Result<()> {
        let shutdown = wire::Shutdown { force: true };
        self.empty("shutdown", request::Kind::Shutdown(shutdown), SLOW).await
    }

    /// Events from now on.
    pub(crate) async fn subscribe(&self) -> Result<Events> {
        let call = "subscribe";
        let mut stream = self.limited(call, QUICK, self.connect(call)).await?;
        let request = wire::Request { kind: Some(request::Kind::Subscribe(wire::Subscribe {})) };
        let answer = self.limited(call, QUICK, async {
            frame::send(&mut stream, &request, &[]).await.map_err(|source| self.broken(call, source))?;
            self.answer(call, &mut stream).await
        });
        answer.await?;
        Ok(Events { stream })
    }

    async fn empty(&self, call: &'static str, kind: request::Kind, limit: Duration) -> Result<()> {
        match self.call(call, kind, limit).await? {
            response::Kind::Empty(_) => Ok(()),
            _ => Err(self.unexpected(call)),
        }
    }

    async fn call(&self, call: &'static str, kind: request::Kind, limit: Duration) -> Result<response::Kind> {
        Ok(self.exchange(call, kind, &[], limit).await?.0)
    }

    async fn exchange(
        &self,
        call: &'static str,
        kind: request::Kind,
        fds: &[OwnedFd],
        limit: Duration,
    ) -> Result<(response::Kind, Vec<OwnedFd>)> {
        self.limited(call, limit, self.converse(call, kind, fds)).await
    }

    async fn converse(
        &self,
        call: &'static str,
        kind: request::Kind,
        fds: &[OwnedFd],
    ) -> Result<(response::Kind, Vec<OwnedFd>)> {
        let mut stream = self.connect(call).await?;
        let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let request = wire::Request { kind: Some(kind) };
        frame::send(&mut stream, &request, &fds).await.map_err(|source| self.broken(call, source))?;
        self.answer(call, &mut stream).await
    }

    async fn answer(
        &self,
        call: &'static str,
        stream: &mut UnixStream,
    ) -> Result<(response::Kind, Vec<OwnedFd>)> {
        let received =
            frame::receive::<wire::Response>(stream).await.map_err(|source| self.broken(call, source))?;
        let Some((response, fds)) = received else {
            return Err(self.broken(call, io::ErrorKind::UnexpectedEof.into()));
        };
        if let Some(error) = response.error {
            return Err(ShimError::Refused { code: error.code(), message: error.message });
        }
        Ok((response.kind.ok_or_else(|| self.unexpected(call))?, fds))
    }

    /// Connects by way of the directory's descriptor: the path may be longer than sun_path holds (unix(7)).
    async fn connect(&self, call: &'static str) -> Result<UnixStream> {
        let dir = open(&self.dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|error| self.broken(call, error.into()))?;
        let path = format!("/proc/self/fd/{}/shim.sock", dir.as_raw_fd());
        UnixStream::connect(path).await.map_err(|source| self.broken(call, source))
    }

    async fn limited<T>(
        &self,
        call: &'static str,
        after: Duration,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let late = |_| ShimError::Timeout { path: self.dir.clone(), call, after };
        tokio::time::timeout(after, work).await.map_err(late)?
    }

    fn broken(&self, call: &'static str, source: io::Error) -> ShimError {
        ShimError::Connection { path: self.dir.clone(), call, source }
    }

    fn unexpected(&self, call: &'static str) -> ShimError {
        ShimError::Protocol { path: self.dir.clone(), call }
    }
}

/// What a shim tells on its own.
pub(crate) struct Events {
    stream: UnixStream,
}

impl Events {
    /// The next event; `None` when the shim has hung up.
    pub(crate) async fn next(&mut self) -> io::Result<Option<wire::event::Kind>> {
        loop {
            match frame::receive::<wire::Event>(&mut self.stream).await? {
                Some((event, _)) if event.kind.is_none() => {}
                Some((event, _)) => return Ok(event.kind),
                None => return Ok(None),
            }
        }
    }
}
