//! The two ends of a remote command, whatever made it.

use futures::future::BoxFuture;
use reeve_engine::{ExecSession, TerminalSize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::status;

/// What feeds a process.
pub(super) type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// What a process says.
pub(super) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// Sets the size of a terminal.
pub(super) type Resize = Box<dyn Fn(Size) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The size of a terminal, as clients send it (k8s.io/client-go `remotecommand.TerminalSize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Size {
    pub(super) width: u16,
    pub(super) height: u16,
}

/// A process (or a container's first process, for attach) whose streams a client may use.
///
/// Dropping the session detaches from the process.
pub(super) struct Session {
    pub(super) stdin: Option<Input>,
    /// With a terminal, everything the process says.
    pub(super) stdout: Option<Output>,
    pub(super) stderr: Option<Output>,
    /// Absent without a terminal.
    pub(super) resize: Option<Resize>,
    /// The exit code, or why it cannot be known.
    pub(super) exit: BoxFuture<'static, Result<i32, String>>,
}

impl Session {
    /// The session of an engine's connection with a process; `tty` says whether that has a terminal.
    pub(super) fn of_engine(mut session: ExecSession, tty: bool) -> Session {
        let terminal = session.terminal();
        let resize: Resize = Box::new(move |size| {
            let terminal = terminal.clone();
            Box::pin(async move {
                let size = TerminalSize { columns: size.width, rows: size.height };
                terminal.resize(size).await.map_err(|error| status::chain(&error))
            })
        });
        Session {
            stdin: session.stdin.take(),
            stdout: session.stdout.take(),
            stderr: session.stderr.take(),
            resize: tty.then_some(resize),
            exit: Box::pin(async move { session.wait().await.map_err(|error| status::chain(&error)) }),
        }
    }
}
