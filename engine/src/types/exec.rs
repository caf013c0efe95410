use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use crate::error::{Error, IoContext, Result};
use crate::process::pty;
use crate::shim::Client;

/// A further process in a running container.
#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub cmd: Vec<String>,
    /// Runs on a terminal; stderr then goes where stdout goes.
    pub tty: bool,
    /// The caller writes to it.
    pub stdin: bool,
    /// The caller reads its output.
    pub stdout: bool,
    /// The caller reads its errors.
    pub stderr: bool,
}

/// Which streams of a container's first process the caller takes part in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttachSpec {
    /// The caller writes to it.
    pub stdin: bool,
    /// The caller reads its output.
    pub stdout: bool,
    /// The caller reads its errors.
    pub stderr: bool,
}

/// What a command that ran to its end left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// The first 16 MiB of its output.
    pub stdout: Vec<u8>,
    /// The first 16 MiB of its errors.
    pub stderr: Vec<u8>,
    /// 0–255, 128 + signal where a signal ended it.
    pub exit_code: i32,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A live connection with a process: an exec of its own, or the first process of a container (attach).
/// Streams that were not asked for are absent. Dropping it leaves the process to itself.
pub struct ExecSession {
    /// Dropping it ends the process's input.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Ends when the process, and all that hold its output, have gone.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// As `stdout`; absent on a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub(crate) terminal: Terminal,
    pub(crate) exit: oneshot::Receiver<i32>,
}

/// Controls the process of a session while its streams are in use elsewhere.
#[derive(Clone)]
pub struct Terminal {
    pub(crate) shim: Arc<Client>,
    pub(crate) container: String,
    /// Empty: the container's first process.
    pub(crate) exec: String,
    /// Terminal of an exec; that of a first process belongs to the shim.
    pub(crate) master: Option<Arc<OwnedFd>>,
}

impl Terminal {
    /// Tells the process that its terminal has this size now (ioctl_tty(2), TIOCSWINSZ).
    pub async fn resize(&self, size: TerminalSize) -> Result<()> {
        match &self.master {
            Some(master) => pty::resize(master, size).at("resize", "terminal"),
            None if self.exec.is_empty() => Ok(self.shim.resize(&self.container, size).await?),
            None => Ok(()),
        }
    }

    /// Sends the process a signal.
    pub async fn signal(&self, signal: i32) -> Result<()> {
        Ok(self.shim.signal(&self.container, &self.exec, signal, false).await?)
    }
}

impl ExecSession {
    /// The process's terminal, for resizing it while streams are in use elsewhere.
    pub fn terminal(&self) -> Terminal {
        self.terminal.clone()
    }

    /// Waits for the process to end, and gives its exit code: 0–255, 128 + signal where a signal ended it.
    pub async fn wait(&mut self) -> Result<i32> {
        (&mut self.exit).await.map_err(|_| Error::SandboxLost(self.terminal.container.clone()))
    }
}

impl std::fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSession").field("container", &self.terminal.container).finish_non_exhaustive()
    }
}
