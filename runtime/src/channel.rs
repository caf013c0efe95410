//! The conversation between the parent and the process it makes: a SOCK_SEQPACKET pair, one message a packet.
//!
//! The child asks and reports, the parent answers. A child that dies ends the conversation; so does a successful
//! execve(2), since both ends are CLOEXEC.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::CommandFault;

/// The longest message; error texts are cut to fit.
const MAX_MESSAGE: usize = 64 * 1024;
const MAX_TEXT: usize = 8 * 1024;

/// What the child says.
#[derive(Debug)]
pub(crate) enum Report {
    /// All is mounted: hooks of the host's side may run now. Expects [`Answer`].
    Mounted,
    /// The terminal's master.
    Terminal(OwnedFd),
    /// The number of the seccomp listener's descriptor in the child, which waits for [`Answer`].
    Listener(i32),
    /// Nothing is left but the program.
    Ready,
    /// The child gives up for this reason.
    Failed(Failure),
}

/// The parent's go-ahead.
const ANSWER: u8 = b'+';

const MOUNTED: u8 = b'M';
const TERMINAL: u8 = b'T';
const LISTENER: u8 = b'L';
const READY: u8 = b'R';
const FAILED: u8 = b'F';

/// An [`Error`] in the form that crosses the process border.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    Command { command: String, fault: CommandFault },
    Config { field: String, reason: String },
    Hook { kind: String, path: PathBuf, reason: String },
    Setup { step: String, errno: Option<i32>, text: String },
}

impl Failure {
    pub(crate) fn of(error: Error) -> Failure {
        match error {
            Error::CommandNotFound { command, fault } => Failure::Command { command, fault },
            Error::Config { field, reason } => Failure::Config { field, reason },
            Error::Hook { kind, path, reason } => Failure::Hook { kind, path, reason },
            Error::Setup { step, source } => Failure::setup(step, &source),
            Error::File { action, path, source } => {
                Failure::setup(format!("{action} {}", path.display()), &source)
            }
            other => Failure::Setup { step: other.to_string(), errno: None, text: String::from("failed") },
        }
    }

    fn setup(mut step: String, source: &io::Error) -> Failure {
        step.truncate(step.floor_char_boundary(MAX_TEXT));
        Failure::Setup { step, errno: source.raw_os_error(), text: source.to_string() }
    }

    pub(crate) fn into_error(self) -> Error {
        match self {
            Failure::Command { command, fault } => Error::CommandNotFound { command, fault },
            Failure::Config { field, reason } => Error::Config { field, reason },
            Failure::Hook { kind, path, reason } => Error::Hook { kind, path, reason },
            Failure::Setup { step, errno, text } => {
                let source = errno.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error);
                Error::Setup { step, source }
            }
        }
    }

    /// The bytes of this failure, for a pipe or a packet.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Failure> {
        serde_json::from_slice(bytes).map_err(io::Error::other)
    }
}

/// One end.
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two ends, both CLOEXEC.
    pub(crate) fn pair() -> io::Result<(Channel, Channel)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel { socket: one }, Channel { socket: other }))
    }

    /// The child's side of a report. It uses write(2) alone, which every seccomp profile has, except for the terminal.
    pub(crate) fn report(&self, report: &Report) -> io::Result<()> {
        match report {
            Report::Mounted => self.write(&[MOUNTED]),
            Report::Ready => self.write(&[READY]),
            Report::Listener(number) => self.write(&[&[LISTENER][..], &number.to_le_bytes()].concat()),
            Report::Failed(failure) => self.write(&[&[FAILED][..], &failure.encode()].concat()),
            Report::Terminal(master) => {
                let fds = [master.as_raw_fd()];
                let payload = [io::IoSlice::new(&[TERMINAL])];
                let rights = [ControlMessage::ScmRights(&fds)];
                sendmsg::<()>(self.socket.as_raw_fd(), &payload, &rights, MsgFlags::MSG_NOSIGNAL, None)?;
                Ok(())
            }
        }
    }

    /// The child's next report; `None` when the conversation is over.
    pub(crate) fn next(&self) -> io::Result<Option<Report>> {
        let mut buffer = vec![0u8; MAX_MESSAGE];
        let mut space = nix::cmsg_space!([libc::c_int; 1]);
        let (length, fd) = loop {
            let mut payload = [io::IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut payload, Some(&mut space), flags) {
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(message) => {
                    let mut fd = None;
                    for control in message.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(fds) = control {
                            // SAFETY: the kernel made these descriptors for us with this message.
                            fd = fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) });
                        }
                    }
                    break (message.bytes, fd);
                }
            }
        };
        let Some((kind, body)) = buffer[..length].split_first() else { return Ok(None) };
        let strange = || io::Error::other("the child sent a message of an unknown kind");
        Ok(Some(match (*kind, fd) {
            (MOUNTED, _) => Report::Mounted,
            (READY, _) => Report::Ready,
            (TERMINAL, Some(master)) => Report::Terminal(master),
            (LISTENER, _) => Report::Listener(i32::from_le_bytes(body.try_into().map_err(|_| strange())?)),
            (FAILED, _) => Report::Failed(Failure::decode(body)?),
            _ => return Err(strange()),
        }))
    }

    /// The parent's go-ahead.
    pub(crate) fn answer(&self) -> io::Result<()> {
        self.write(&[ANSWER])
    }

    /// Waits for the parent's go-ahead; an error when the parent has gone.
    pub(crate) fn wait_for_answer(&self) -> io::Result<()> {
        let mut byte = [0u8; 1];
        loop {
            match nix::unistd::read(&self.socket, &mut byte) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(1) if byte[0] == ANSWER => return Ok(()),
                Ok(_) => return Err(io::Error::other("the runtime gave up")),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&self, message: &[u8]) -> io::Result<()> {
        nix::unistd::write(&self.socket, message)?;
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_cross_whole() {
        let (parent, child) = Channel::pair().expect("pair");
        child.report(&Report::Mounted).expect("send");
        child
            .report(&Report::Terminal(std::fs::File::open("/dev/null").expect("open").into()))
            .expect("send");
        let fault = CommandFault::NotInPath;
        let error = Error::CommandNotFound { command: "x".into(), fault: fault.clone() };
        child.report(&Report::Failed(Failure::of(error))).expect("send");
        drop(child);
        assert!(matches!(parent.next().expect("next"), Some(Report::Mounted)));
        assert!(matches!(parent.next().expect("next"), Some(Report::Terminal(_))));
        match parent.next().expect("next") {
            Some(Report::Failed(failure)) => assert!(
                matches!(failure.into_error(), Error::CommandNotFound { fault: got, .. } if got == fault)
            ),
            other => panic!("{other:?}"),
        }
        assert!(parent.next().expect("end").is_none());
    }

    #[test]
    fn a_parent_that_goes_is_noticed() {
        let (parent, child) = Channel::pair().expect("pair");
        parent.answer().expect("answer");
        drop(parent);
        child.wait_for_answer().expect("answer");
        assert!(child.wait_for_answer().is_err());
    }
}
