//! Frames on a Unix stream socket: a 4-byte little-endian length, a protobuf message, and descriptors
//! (`SCM_RIGHTS`, unix(7)) on the first byte. Both directions go on from where a non-blocking call stopped.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use reeve_proto::shim::MAX_FRAME;

/// The most descriptors that one frame may carry.
pub const MAX_DESCRIPTORS: usize = 8;

/// A body grows by no more than this ahead of the bytes that came, whatever length its header claims.
const GROWTH: usize = 64 << 10;

/// Why a frame could not be read or written. The connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The header claims more than [`MAX_FRAME`].
    #[error("frame of {0} bytes is longer than the {MAX_FRAME} allowed")]
    TooLong(usize),
    /// More descriptors than [`MAX_DESCRIPTORS`].
    #[error("frame carries more than {MAX_DESCRIPTORS} descriptors")]
    TooManyDescriptors,
    /// The peer went in the middle of a frame.
    #[error("connection closed in the middle of a frame")]
    Truncated,
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(Errno),
}

/// One message as it travels.
#[derive(Debug, Default)]
pub struct Frame {
    /// The encoded message.
    pub body: Vec<u8>,
    /// The descriptors that came with it, in order.
    pub descriptors: Vec<OwnedFd>,
}

impl Frame {
    /// A frame of `message` with `descriptors`.
    pub fn new(message: &impl prost::Message, descriptors: Vec<OwnedFd>) -> Self {
        Frame { body: message.encode_to_vec(), descriptors }
    }
}

/// What one call of [`FrameReader::read`] came to.
#[derive(Debug)]
pub enum Progress {
    /// A whole frame.
    Frame(Frame),
    /// The socket has no more bytes now.
    Pending,
    /// The peer closed between frames.
    Closed,
}

/// Reads frames, and never a byte beyond the current one: what follows may carry other descriptors.
#[derive(Debug, Default)]
pub struct FrameReader {
    header: [u8; 4],
    filled: usize,
    frame: Frame,
}

impl FrameReader {
    /// Reads until a frame is whole or the socket has nothing more.
    pub fn read(&mut self, socket: BorrowedFd<'_>) -> Result<Progress, FrameError> {
        loop {
            if self.filled >= 4 && self.filled - 4 == self.length()? {
                self.filled = 0;
                return Ok(Progress::Frame(std::mem::take(&mut self.frame)));
            }
            match self.receive(socket) {
                Ok(0) if self.filled == 0 => return Ok(Progress::Closed),
                Ok(0) => return Err(FrameError::Truncated),
                Ok(count) => self.filled += count,
                Err(FrameError::Socket(Errno::EAGAIN)) => return Ok(Progress::Pending),
                Err(FrameError::Socket(Errno::EINTR)) => {}
                Err(FrameError::Socket(Errno::ECONNRESET)) => return Ok(Progress::Closed),
                Err(error) => return Err(error),
            }
        }
    }

    fn length(&self) -> Result<usize, FrameError> {
        let length = u32::from_le_bytes(self.header) as usize;
        if length > MAX_FRAME { Err(FrameError::TooLong(length)) } else { Ok(length) }
    }

    /// One recvmsg into what is missing of the header or of the body.
    fn receive(&mut self, socket: BorrowedFd<'_>) -> Result<usize, FrameError> {
        let space = if self.filled < 4 {
            &mut self.header[self.filled..]
        } else {
            let have = self.filled - 4;
            let want = self.length()?.min(have + GROWTH);
            self.frame.body.resize(want, 0);
            &mut self.frame.body[have..]
        };
        let mut iov = [IoSliceMut::new(space)];
        let mut control = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags)
            .map_err(FrameError::Socket)?;
        let truncated = message.flags.contains(MsgFlags::MSG_CTRUNC);
        for part in message.cmsgs().map_err(FrameError::Socket)? {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                // SAFETY: the kernel has just installed these descriptors for us; nobody else owns them.
                let owned = descriptors.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                self.frame.descriptors.extend(owned);
            }
        }
        if truncated || self.frame.descriptors.len() > MAX_DESCRIPTORS {
            return Err(FrameError::TooManyDescriptors);
        }
        Ok(message.bytes)
    }
}

/// Frames on their way out.
#[derive(Debug, Default)]
pub struct FrameWriter {
    queue: VecDeque<Frame>,
    /// Bytes of the first frame, header included, that are gone already.
    sent: usize,
    queued: usize,
}

impl FrameWriter {
    /// Puts a frame behind those that wait.
    pub fn push(&mut self, frame: Frame) {
        self.queued += frame.body.len();
        self.queue.push_back(frame);
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of the bodies that wait.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Sends until all is gone or the socket takes no more.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> Result<(), FrameError> {
        while let Some(frame) = self.queue.front() {
            match send_part(socket, frame, self.sent) {
                Ok(count) => self.sent += count,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(FrameError::Socket(errno)),
            }
            if self.sent == frame.body.len() + 4 {
                self.queued -= frame.body.len();
                self.sent = 0;
                self.queue.pop_front();
            }
        }
        // An idle connection keeps no buffer.
        self.queue = VecDeque::new();
        Ok(())
    }
}

/// Sends what is left of `frame` after `sent` bytes; descriptors go with its first byte.
fn send_part(socket: BorrowedFd<'_>, frame: &Frame, sent: usize) -> nix::Result<usize> {
    let header = (frame.body.len() as u32).to_le_bytes();
    let iov = [IoSlice::new(&header[sent.min(4)..]), IoSlice::new(&frame.body[sent.saturating_sub(4)..])];
    let descriptors: Vec<RawFd> = frame.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control = if sent == 0 && !descriptors.is_empty() { &rights[..] } else { &[] };
    sendmsg::<()>(socket.as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }

    #[test]
    fn a_frame_larger_than_the_socket_buffer_arrives_with_its_descriptors() {
        let (a, b) = pair();
        let body: Vec<u8> = (0..1_500_000u32).map(|n| n as u8).collect();
        let mut writer = FrameWriter::default();
        let (left, right) = UnixStream::pair().unwrap();
        writer.push(Frame { body: body.clone(), descriptors: vec![left.into()] });
        writer.push(Frame { body: Vec::new(), descriptors: Vec::new() });
        let mut reader = FrameReader::default();
        let first = loop {
            writer.flush(a.as_fd()).unwrap();
            if let Progress::Frame(frame) = reader.read(b.as_fd()).unwrap() {
                break frame;
            }
        };
        assert_eq!(first.body, body);
        assert_eq!(first.descriptors.len(), 1);
        drop(first);
        writer.flush(a.as_fd()).unwrap();
        let Progress::Frame(second) = reader.read(b.as_fd()).unwrap() else { panic!("second frame") };
        assert!(second.body.is_empty() && second.descriptors.is_empty());
        drop((a, right));
        assert!(matches!(reader.read(b.as_fd()).unwrap(), Progress::Closed));
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_memory_is_taken() {
        let (mut a, b) = pair();
        a.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(matches!(FrameReader::default().read(b.as_fd()), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_peer_that_goes_in_mid_frame_is_told_from_one_that_goes_between() {
        let (mut a, b) = pair();
        a.write_all(&[9, 0, 0, 0, 1]).unwrap();
        drop(a);
        assert!(matches!(FrameReader::default().read(b.as_fd()), Err(FrameError::Truncated)));
    }
}
