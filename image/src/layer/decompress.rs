//! Plain, gzip and zstd streams, told apart by their first bytes as every runtime does: media types of
//! real images are wrong at times, and the diff-id says in the end whether the content was right.

use std::io::{self, BufRead, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::LayerError;

/// Bounds the decoder's memory to 128 MiB; what `zstd -19` and containers' tools make needs at most 8.
const ZSTD_WINDOW_LOG: u32 = 27;

type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// A stream being decompressed.
pub(crate) enum Decoder<R: BufRead> {
    Plain(Peeked<R>),
    Gzip(Box<MultiGzDecoder<Peeked<R>>>),
    Zstd(Box<zstd::Decoder<'static, Peeked<R>>>),
}

impl<R: BufRead> Decoder<R> {
    pub(crate) fn new(mut reader: R) -> io::Result<Decoder<R>> {
        let mut magic = Vec::with_capacity(4);
        reader.by_ref().take(4).read_to_end(&mut magic)?;
        let kind = (magic.first().copied(), magic.get(1..4));
        let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
        // A frame, or a skippable frame (RFC 8878, 3.1).
        let is_zstd = magic == [0x28, 0xb5, 0x2f, 0xfd]
            || matches!(kind, (Some(0x50..=0x5f), Some([0x2a, 0x4d, 0x18])));
        let stream = Cursor::new(magic).chain(reader);
        if is_gzip {
            return Ok(Decoder::Gzip(Box::new(MultiGzDecoder::new(stream))));
        }
        if is_zstd {
            let mut decoder = zstd::Decoder::with_buffer(stream)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            return Ok(Decoder::Zstd(Box::new(decoder)));
        }
        Ok(Decoder::Plain(stream))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(stream) => stream.read(buffer),
            Decoder::Gzip(stream) => stream.read(buffer),
            Decoder::Zstd(stream) => stream.read(buffer),
        }
    }
}

/// What a failing [`Decoder`] means.
pub(crate) fn decoding(error: io::Error) -> LayerError {
    match error.downcast::<LayerError>() {
        Ok(inner) => inner,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            LayerError::Decompress { reason: "the compressed stream ends early".to_owned() }
        }
        Err(error) => LayerError::Decompress { reason: error.to_string() },
    }
}

/// Fills `buffer` up to its capacity, or to the stream's end.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, capacity: usize) -> io::Result<()> {
    buffer.resize(capacity, 0);
    let mut filled = 0;
    while filled < capacity {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(())
}
