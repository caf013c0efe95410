//! Frames on the shim's socket: a little-endian length, a protobuf message, and descriptors that come with
//! the first byte (unix(7), SCM_RIGHTS).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use prost::Message;
use reeve_proto::shim::MAX_FRAME;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// More than any message of the protocol carries.
const MAX_FDS: usize = 4;

/// Sends one message with its descriptors.
pub(crate) async fn send(stream: &mut UnixStream, message: &impl Message, fds: &[RawFd]) -> io::Result<()> {
    let body = message.encode_to_vec();
    if body.len() > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is longer than a frame may be"));
    }
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend(body);
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(fds)];
            let control = if fds.is_empty() { &rights[..0] } else { &rights[..] };
            let flags = MsgFlags::MSG_NOSIGNAL;
            Ok(sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&frame)], control, flags, None)?)
        })
        .await?;
    stream.write_all(&frame[sent..]).await
}

/// Receives one message with its descriptors; `None` at the end of the stream.
pub(crate) async fn receive<M: Message + Default>(
    stream: &mut UnixStream,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut fds = Vec::new();
    let first =
        stream.async_io(Interest::READABLE, || receive_with_rights(stream, &mut length, &mut fds)).await?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[first..]).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let message = M::decode(&*body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(Some((message, fds)))
}

fn receive_with_rights(stream: &UnixStream, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut control = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = part {
            // SAFETY: the kernel has just made these descriptors for us; nobody else knows them.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use reeve_proto::shim::{Ping, Pong, Request, request};

    use super::*;

    #[tokio::test]
    async fn a_message_arrives_whole_with_its_descriptor() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let request = Request { kind: Some(request::Kind::Ping(Ping {})) };
        send(&mut here, &request, &[writer.as_raw_fd()]).await.unwrap();
        drop(writer);
        let (received, fds) = receive::<Request>(&mut there).await.unwrap().unwrap();
        assert_eq!(received, request);
        assert_eq!(fds.len(), 1);
        nix::unistd::write(&fds[0], b"x").unwrap();
        drop(fds);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }

    #[tokio::test]
    async fn a_long_message_crosses_in_pieces_and_the_end_is_told() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let pong = Pong { version: "v".repeat(3 << 20), pid: 1, pod_init_pid: 2 };
        let expected = pong.clone();
        let sender = tokio::spawn(async move { send(&mut here, &pong, &[]).await });
        let (received, _) = receive::<Pong>(&mut there).await.unwrap().unwrap();
        assert_eq!(received, expected);
        sender.await.unwrap().unwrap();
        assert!(receive::<Pong>(&mut there).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_absurd_length_is_refused() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        assert_eq!(receive::<Pong>(&mut there).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
