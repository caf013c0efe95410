//! One layer's stream: compressed bytes → decompress and diff-id → unpack, a thread each.
//!
//! Threads, not tasks: all of it is computing and file system calls. Each has a small stack, each pipe a
//! few chunks; memory does not grow with the layer.

use std::io::{self, BufRead};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::sync::oneshot;

use super::LayerError;
use super::archive::Archive;
use super::decompress::{Decoder, decoding, fill};
use super::pipe::{PipeReader, PipeWriter, pipe};
use super::unpack::Unpacker;
use crate::Digest;
use crate::digest::{Algorithm, Hasher};

const CHUNK: usize = 256 << 10;
const DEPTH: usize = 4;
const STACK: usize = 512 << 10;

/// A layer whose entries are all there, and that only [`Unpacker::finish`] is missing.
pub(crate) struct Unpacked<W> {
    pub(crate) unpacker: Unpacker,
    pub(crate) diff_id: Digest,
    pub(crate) tar_size: u64,
    /// The folder it was unpacked in, removed with this value.
    pub(crate) work: W,
}

/// Bounds and expectations of one layer.
pub(crate) struct Limits {
    pub(crate) algorithm: Algorithm,
    pub(crate) max_bytes: u64,
}

/// Starts to unpack `reader`. `work` keeps the folder alive as long as a thread writes there, also when
/// the receiver is dropped in between.
pub(crate) fn start<R, W>(
    reader: R,
    unpacker: Unpacker,
    work: W,
    limits: Limits,
) -> io::Result<oneshot::Receiver<Result<Unpacked<W>, LayerError>>>
where
    R: BufRead + Send + 'static,
    W: Send + 'static,
{
    let (writer, tar) = pipe(DEPTH);
    let (done, receiver) = oneshot::channel();
    let decompressing = thread::Builder::new()
        .name("layer-inflate".to_owned())
        .stack_size(STACK)
        .spawn(move || decompress(reader, &writer, &limits).inspect(|_| writer.end()))?;
    thread::Builder::new().name("layer-unpack".to_owned()).stack_size(STACK).spawn(move || {
        let unpacked = unpack(unpacker, tar);
        let decompressed = decompressing.join().unwrap_or(Err(LayerError::Abandoned));
        let result = match (unpacked, decompressed) {
            (Ok(unpacker), Ok((diff_id, tar_size))) => Ok(Unpacked { unpacker, diff_id, tar_size, work }),
            (unpacked, decompressed) => {
                // Before anybody hears of the failure: it is to leave nothing.
                drop(work);
                Err(match (unpacked, decompressed) {
                    // Where one end fails the other finds its pipe abandoned: the cause is the other error.
                    (Err(LayerError::Abandoned) | Ok(_), Err(error)) | (Err(error), _) => error,
                    (Ok(_), Ok(_)) => LayerError::Abandoned,
                })
            }
        };
        // Nobody waits for a layer that was given up; dropping it removes its folder.
        let _ = done.send(result);
    })?;
    Ok(receiver)
}

fn decompress<R: BufRead>(
    reader: R,
    writer: &PipeWriter<Vec<u8>>,
    limits: &Limits,
) -> Result<(Digest, u64), LayerError> {
    let mut decoder = Decoder::new(reader).map_err(decoding)?;
    let mut hasher = Hasher::new(limits.algorithm);
    let mut total = 0u64;
    loop {
        let mut buffer = writer.reuse().unwrap_or_default();
        fill(&mut decoder, &mut buffer, CHUNK).map_err(decoding)?;
        if buffer.is_empty() {
            return Ok((hasher.finish(), total));
        }
        total += buffer.len() as u64;
        if total > limits.max_bytes {
            return Err(LayerError::Limit { what: "bytes", limit: limits.max_bytes });
        }
        // A copy of the bytes for another thread would cost more than the digest saves there.
        hasher.update(&buffer);
        if !writer.send(buffer) {
            return Err(LayerError::Abandoned);
        }
    }
}

fn unpack(mut unpacker: Unpacker, tar: PipeReader<Vec<u8>>) -> Result<Unpacker, LayerError> {
    // The umask is the process's; this thread takes a copy of its own, so that modes come out exact.
    unshare(CloneFlags::CLONE_FS).map_err(|e| LayerError::io("unshare the umask for", b"the layer", e))?;
    umask(Mode::empty());
    let mut archive = Archive::new(tar);
    unpacker.run(&mut archive)?;
    // What follows the end of the archive counts for the diff-id.
    let mut rest = archive.into_reader();
    io::copy(&mut rest, &mut io::sink()).map_err(|e| LayerError::reading(b"the end of the archive", e))?;
    Ok(unpacker)
}
