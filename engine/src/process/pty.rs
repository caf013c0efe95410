//! The master side of a terminal as an asynchronous stream.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::types::TerminalSize;

nix::ioctl_write_ptr_bad!(
    /// ioctl_tty(2), TIOCSWINSZ.
    set_window_size,
    libc::TIOCSWINSZ,
    libc::winsize
);

/// Sets the size of a terminal.
pub(crate) fn resize(master: &OwnedFd, size: TerminalSize) -> io::Result<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open as long as `master` is borrowed, and `size` is a whole winsize.
    unsafe { set_window_size(master.as_raw_fd(), &size) }?;
    Ok(())
}

/// One end of the stream: reading gives the terminal's output, writing is typing. Clones share the terminal.
#[derive(Clone)]
pub(crate) struct Master(Arc<AsyncFd<Arc<OwnedFd>>>);

impl Master {
    /// Needs a tokio runtime with I/O.
    pub(crate) fn new(fd: Arc<OwnedFd>) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: the descriptor belongs to the Arc in it, so it stays open and the same as long as that is there.
        Ok(Self(Arc::new(unsafe { AsyncFd::register(fd) }?)))
    }
}

impl AsyncRead for Master {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match guard.try_io(|fd| Ok(nix::unistd::read(fd.get_ref(), buf.initialize_unfilled())?)) {
                Ok(Ok(count)) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The last process has closed its side: a terminal says EIO where a pipe says end of file.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Master {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|fd| Ok(nix::unistd::write(fd.get_ref(), buf)?)) {
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use nix::pty::openpty;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_closed_terminal_reads_as_end_of_file() {
        let pty = openpty(None, None).unwrap();
        let mut master = Master::new(Arc::new(pty.master)).unwrap();
        nix::unistd::write(&pty.slave, b"hello").unwrap();
        drop(pty.slave);
        let mut text = String::new();
        master.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn what_is_typed_arrives_with_the_size_set() {
        let pty = openpty(None, None).unwrap();
        let fd = Arc::new(pty.master);
        resize(&fd, TerminalSize { columns: 100, rows: 40 }).unwrap();
        let mut master = Master::new(fd).unwrap();
        master.write_all(b"word\n").await.unwrap();
        let mut line = [0; 16];
        let count = nix::unistd::read(&pty.slave, &mut line).unwrap();
        assert_eq!(&line[..count], b"word\n");
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ fills the winsize that it is given.
        assert_eq!(unsafe { libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCGWINSZ, &mut size) }, 0);
        assert_eq!((size.ws_col, size.ws_row), (100, 40));
    }
}
