//! Clients attached to a container's output and input, by descriptors that the engine passed.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What one client may have waiting. Beyond it output is skipped for that client.
const LIMIT: usize = 256 << 10;

/// Told to a client in the stream itself, where output is missing.
const NOTE: &[u8] = b"\r\n[output skipped: the reader is too slow]\r\n";

/// Sets O_NONBLOCK on the open file description.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// One attached client; each part is gone once that side closed.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<Sink>,
    pub(crate) stderr: Option<Sink>,
}

impl Attachment {
    /// Whether anything is left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.stdin.is_none() && self.stdout.is_none() && self.stderr.is_none()
    }
}

/// An output of a client, with a bounded queue in front of it.
#[derive(Debug)]
pub(crate) struct Sink {
    fd: OwnedFd,
    waiting: VecDeque<u8>,
    /// Output was skipped since the queue was last empty.
    skipping: bool,
    /// Nothing more comes: the sink ends when the queue is empty.
    ending: bool,
}

impl Sink {
    pub(crate) fn new(fd: OwnedFd) -> nix::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Sink { fd, waiting: VecDeque::new(), skipping: false, ending: false })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether it waits for the client to take something.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Passes `bytes` on, or queues them, or skips them. False: the client is gone.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        if self.skipping || self.waiting.len() + bytes.len() > LIMIT {
            self.skipping = true;
            return true;
        }
        let mut rest = bytes;
        while self.waiting.is_empty() && !rest.is_empty() {
            match write(&self.fd, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::EAGAIN) => break,
                Err(_) => return false,
            }
        }
        self.waiting.extend(rest);
        true
    }

    /// Sends what waits, as far as the client takes it. False: the client is gone, or all was sent to its end.
    pub(crate) fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match write(&self.fd, self.waiting.as_slices().0) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
            if self.waiting.is_empty() && std::mem::take(&mut self.skipping) {
                self.waiting.extend(NOTE);
            }
        }
        self.waiting = VecDeque::new();
        !self.ending
    }

    /// Says that nothing more comes. False: it can be closed at once.
    pub(crate) fn end(&mut self) -> bool {
        self.ending = true;
        self.is_waiting()
    }
}

/// A container's stdin: the pipe or terminal, and one chunk that it has not taken yet.
#[derive(Debug)]
pub(crate) struct Input {
    fd: OwnedFd,
    waiting: Vec<u8>,
    ending: bool,
}

impl Input {
    pub(crate) fn new(fd: OwnedFd) -> nix::Result<Self> {
        set_nonblocking(&fd)?;
        Ok(Input { fd, waiting: Vec::new(), ending: false })
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether a chunk waits; clients are read only when none does.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a chunk from a client. False: the container closed its stdin.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Passes on what waits. False: nobody reads it any more, or all was passed on to its end.
    pub(crate) fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match write(&self.fd, &self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
        self.waiting = Vec::new();
        !self.ending
    }

    /// Says that no client will send more. False: it can be closed at once.
    pub(crate) fn end(&mut self) -> bool {
        self.ending = true;
        self.is_waiting()
    }
}

fn write(fd: &OwnedFd, bytes: &[u8]) -> nix::Result<usize> {
    loop {
        match nix::unistd::write(fd, bytes) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(Errno::EPIPE),
            result => return result,
        }
    }
}

/// Reads from a non-blocking descriptor: None when there is nothing now, 0 at the end (a hung-up terminal
/// reports EIO).
pub(crate) fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match nix::unistd::read(fd.as_fd(), buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::EIO) => return Ok(Some(0)),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether the other end is closed.
pub(crate) fn is_hung_up(fd: impl AsFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
        && polled[0].revents().is_some_and(|it| it.intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_client_misses_output_and_is_told_so() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        set_nonblocking(&reader).unwrap();
        let mut sink = Sink::new(writer).unwrap();
        for _ in 0..100 {
            assert!(sink.push(&[b'x'; 8192]));
        }
        assert!(sink.waiting.len() <= LIMIT);
        let mut seen = Vec::new();
        let mut buffer = [0; 65536];
        while let Some(count) = read(&reader, &mut buffer).unwrap() {
            seen.extend_from_slice(&buffer[..count]);
            assert!(sink.flush());
        }
        assert!(seen.ends_with(NOTE) && !sink.is_waiting());
        assert!(sink.push(b"again"));
        assert_eq!(read(&reader, &mut buffer).unwrap(), Some(5));
        drop(reader);
        assert!(!sink.push(b"gone") || !sink.flush());
    }
}
