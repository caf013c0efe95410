//! Descriptors that are sent to a Unix socket by its path: a terminal's master, a seccomp listener.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use oci_spec::runtime::Spec;

use crate::Error;
use crate::process::Prepared;

/// Who is given the seccomp listener, runtime-spec's "linux.seccomp.listenerPath".
pub(super) struct Target {
    path: PathBuf,
    metadata: Option<String>,
}

/// The target that the configuration names; a filter that asks a listener needs one, and no other may have it.
pub(super) fn target(config: &Spec, process: &Prepared) -> Result<Option<Target>, Error> {
    let seccomp = config.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let path = seccomp
        .and_then(|seccomp| seccomp.listener_path().clone())
        .filter(|path| !path.as_os_str().is_empty());
    let field = "linux.seccomp.listenerPath";
    match (process.notifies(), path) {
        (true, None) => Err(Error::config(field, "is needed for SCMP_ACT_NOTIFY")),
        (false, Some(_)) => Err(Error::config(field, "no rule has SCMP_ACT_NOTIFY")),
        (_, path) => Ok(path.map(|path| {
            let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata().clone());
            Target { path, metadata }
        })),
    }
}

impl Target {
    /// Sends the listener with the container process state, runtime-spec's "The Container Process State".
    pub(super) fn send(&self, listener: OwnedFd, state: &str, pid: i32) -> Result<(), Error> {
        let state: serde_json::Value =
            serde_json::from_str(state).map_err(|source| Error::Json { path: self.path.clone(), source })?;
        let mut message = serde_json::json!({
            "ociVersion": state["ociVersion"], "fds": ["seccompFd"], "pid": pid, "state": state,
        });
        if let Some(metadata) = &self.metadata {
            message["metadata"] = metadata.clone().into();
        }
        send_descriptor(&self.path, message.to_string().as_bytes(), &listener)
            .map_err(|error| Error::file("send the seccomp listener to", &self.path, error))
    }
}

/// Sends `fd` beside `message` to the socket at `path`.
pub(super) fn send_descriptor(path: &Path, message: &[u8], fd: &OwnedFd) -> io::Result<()> {
    let socket = UnixStream::connect(path)?;
    let fds = [fd.as_raw_fd()];
    let payload = [io::IoSlice::new(message)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &payload,
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}
