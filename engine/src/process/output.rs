//! A command's output, up to a bound.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// The most that is kept of each stream; more is read and thrown away, so that the command does not block.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// How long after the command's end its descendants' output is waited for. What the command itself wrote is in
/// the pipe by then, and read without waiting.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Reads to the end of the stream, or until shortly after `ended` has turned true.
pub(crate) async fn collect(
    mut stream: impl AsyncRead + Unpin,
    mut ended: watch::Receiver<bool>,
) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let late = async {
        // A sender that has gone ends it as well.
        let _ = ended.wait_for(|ended| *ended).await;
        tokio::time::sleep(AFTERMATH).await;
    };
    tokio::pin!(late);
    loop {
        let count = tokio::select! {
            biased;
            count = stream.read(&mut buffer) => count?,
            () = &mut late => return Ok(kept),
        };
        if count == 0 {
            return Ok(kept);
        }
        let room = MAX_BYTES.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_stream_ends_it() {
        let (_ended, receiver) = watch::channel(false);
        assert_eq!(collect(&b"words"[..], receiver).await.unwrap(), b"words");
    }

    #[tokio::test]
    async fn a_stream_held_open_by_descendants_does_not_hang() {
        let (mut writer, reader) = tokio::io::duplex(64);
        let (ended, receiver) = watch::channel(false);
        writer.write_all(b"words").await.unwrap();
        ended.send_replace(true);
        assert_eq!(collect(reader, receiver).await.unwrap(), b"words");
        drop(writer);
    }

    #[tokio::test]
    async fn what_is_too_much_is_read_and_dropped() {
        let (_ended, receiver) = watch::channel(false);
        let endless = tokio::io::repeat(b'x').take(MAX_BYTES as u64 + 1000);
        assert_eq!(collect(endless, receiver).await.unwrap().len(), MAX_BYTES);
    }
}
