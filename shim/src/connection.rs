//! One connection of a client: frames in, frames out, and at most one request in between.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;
use prost::Message;
use reeve_proto::shim::{Event, Request, Response, request};

use crate::frame::{Frame, FrameError, FrameReader, FrameWriter, Progress};

/// Events that wait for one subscriber, in bytes. A slower one is cut off and reads `List` when it is back.
const EVENTS_WAITING: usize = 64 << 10;

/// What a connection is about.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The next request is read.
    Idle,
    /// The request waits for something: a container's end, its turn.
    Waiting(request::Kind, Vec<OwnedFd>),
    /// A worker does the request.
    Working,
    /// Events go out; nothing comes in.
    Subscribed,
}

/// A connected client, one that may command this pod.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    reader: FrameReader,
    writer: FrameWriter,
    pub(crate) phase: Phase,
}

/// A connection is done with.
#[derive(Debug)]
pub(crate) struct Closed;

impl From<FrameError> for Closed {
    fn from(error: FrameError) -> Self {
        crate::note(format_args!("connection closed: {error}"));
        Closed
    }
}

impl Connection {
    /// Takes the connection if its peer runs as root or as this process's user (SO_PEERCRED, unix(7)).
    pub(crate) fn admit(socket: UnixStream) -> Option<Self> {
        let peer = getsockopt(&socket, PeerCredentials).ok()?;
        if peer.uid() != 0 && Uid::from_raw(peer.uid()) != Uid::effective() {
            crate::note(format_args!("connection of user {} (process {}) refused", peer.uid(), peer.pid()));
            return None;
        }
        socket.set_nonblocking(true).ok()?;
        let (reader, writer) = (FrameReader::default(), FrameWriter::default());
        Some(Connection { socket, reader, writer, phase: Phase::Idle })
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Whether it waits for the client to take something.
    pub(crate) fn is_sending(&self) -> bool {
        !self.writer.is_empty()
    }

    /// The next request, if a whole one is there.
    pub(crate) fn receive(&mut self) -> Result<Option<(request::Kind, Vec<OwnedFd>)>, Closed> {
        let frame = match self.reader.read(self.socket.as_fd())? {
            Progress::Frame(frame) => frame,
            Progress::Pending => return Ok(None),
            Progress::Closed => return Err(Closed),
        };
        match Request::decode(frame.body.as_slice()) {
            Ok(Request { kind: Some(kind) }) => Ok(Some((kind, frame.descriptors))),
            Ok(_) => {
                crate::note(format_args!(
                    "connection closed: a request of a kind that this version does not know"
                ));
                Err(Closed)
            }
            Err(error) => {
                crate::note(format_args!("connection closed: {error}"));
                Err(Closed)
            }
        }
    }

    /// Answers the request, and is ready for the next.
    pub(crate) fn answer(&mut self, response: &Response, descriptors: Vec<OwnedFd>) -> Result<(), Closed> {
        if !matches!(self.phase, Phase::Subscribed) {
            self.phase = Phase::Idle;
        }
        self.writer.push(Frame::new(response, descriptors));
        self.send()
    }

    /// Tells a subscriber.
    pub(crate) fn tell(&mut self, event: &Event) -> Result<(), Closed> {
        self.writer.push(Frame::new(event, Vec::new()));
        if self.writer.queued() > EVENTS_WAITING {
            crate::note(format_args!("a subscriber does not keep up and is disconnected"));
            return Err(Closed);
        }
        self.send()
    }

    /// Sends what the client takes.
    pub(crate) fn send(&mut self) -> Result<(), Closed> {
        Ok(self.writer.flush(self.socket.as_fd())?)
    }
}
