//! The entries of a tar stream, one by one, with all extensions folded in. Nothing is trusted.

use std::io::{self, BufRead};

use super::LayerError;
use super::header::{BLOCK, Header, Kind};
use super::pax::{MAX_PAX, Pax, PaxSparse, Time, decimal};
use super::sparse::{Segment, SparseMap, gnu_segments, push};

/// Twice the longest path that Linux takes.
const MAX_LONG_NAME: u64 = 8192;

/// One entry: what it is and all that is said of it, before its content.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) atime: Option<Time>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) device: (u32, u32),
    /// Bytes of content in the stream.
    pub(crate) stored: u64,
    pub(crate) sparse: Option<SparseMap>,
}

/// What L, K and x entries said of the entry that follows them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

/// A tar being read.
pub(crate) struct Archive<R> {
    reader: R,
    /// Content of the current entry that is still unread, and the padding behind it.
    content: u64,
    padding: u64,
    name: Vec<u8>,
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(reader: R) -> Archive<R> {
        Archive { reader, content: 0, padding: 0, name: b"the first header".to_vec() }
    }

    /// The next entry; what was left of the last one's content is skipped. `None` at the end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let Some(block) = self.header_block()? else { return Ok(None) };
            let header = Header(&block);
            header.check_sum()?;
            let kind = header.kind()?;
            let mut size = header.size()?;
            if kind.is_header_only() {
                size = 0;
            } else if matches!(kind, Kind::File | Kind::GnuSparse) {
                size = extensions.pax.size.unwrap_or(size);
            }
            self.begin(&header, size)?;
            match kind {
                Kind::GnuLongName => extensions.name = Some(self.long_name(size)?),
                Kind::GnuLongLink => extensions.link = Some(self.long_name(size)?),
                Kind::Pax => extensions.pax = Pax::parse(&self.small_content(size, MAX_PAX)?)?,
                Kind::Ignored => {}
                _ => return self.entry(&header, kind, extensions).map(Some),
            }
        }
    }

    /// Reads `length` bytes of the current entry's content into `sink`, chunk by chunk.
    pub(crate) fn read_content(
        &mut self,
        length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let mut left = length.min(self.content);
        self.content -= left;
        while left > 0 {
            let chunk = self.reader.fill_buf().map_err(|e| LayerError::reading(&self.name, e))?;
            if chunk.is_empty() {
                return Err(LayerError::reading(&self.name, io::ErrorKind::UnexpectedEof.into()));
            }
            let take = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&chunk[..take])?;
            self.reader.consume(take);
            left -= take as u64;
        }
        Ok(())
    }

    /// Passes over the current entry's content with `skip`, for a reader that need not read it.
    pub(crate) fn skip_with(
        &mut self,
        skip: impl FnOnce(&mut R, u64) -> io::Result<()>,
    ) -> Result<(), LayerError> {
        let content = std::mem::take(&mut self.content);
        skip(&mut self.reader, content).map_err(|e| LayerError::reading(&self.name, e))
    }

    pub(crate) fn reader(&self) -> &R {
        &self.reader
    }

    /// The content of an entry that must be small enough for memory.
    pub(crate) fn small_content(&mut self, size: u64, limit: u64) -> Result<Vec<u8>, LayerError> {
        if size > limit {
            return Err(LayerError::malformed(
                &self.name,
                &format!("{size} bytes where at most {limit} may be"),
            ));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        self.read_content(size, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// The reader, for what follows the archive's end.
    pub(crate) fn into_reader(self) -> R {
        self.reader
    }

    fn begin(&mut self, header: &Header<'_>, size: u64) -> Result<(), LayerError> {
        if i64::try_from(size).is_err() {
            return Err(header.malformed("size is out of range"));
        }
        self.name = header.name();
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    fn entry(&mut self, header: &Header<'_>, kind: Kind, ext: Extensions) -> Result<Entry, LayerError> {
        let Extensions { name, link, mut pax } = ext;
        let sparse_name = pax.sparse.name.take();
        let name = sparse_name.or(pax.path.take()).or(name).unwrap_or_else(|| header.name());
        self.name.clone_from(&name);
        if name.is_empty() {
            return Err(LayerError::malformed(b"entry", "it has no name"));
        }
        let link = pax.link.take().or(link).unwrap_or_else(|| header.link_name());
        let id = |value: i64, what: &str| match u32::try_from(value) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(LayerError::malformed(&name, &format!("{what} {value} is out of range"))),
        };
        let uid = id(pax.uid.map_or_else(|| header.uid(), Ok)?, "uid")?;
        let gid = id(pax.gid.map_or_else(|| header.gid(), Ok)?, "gid")?;
        let mtime = pax.mtime.map_or_else(|| header.mtime().map(|seconds| Time { seconds, nanos: 0 }), Ok)?;
        let device = if matches!(kind, Kind::Char | Kind::Block) { header.device()? } else { (0, 0) };
        let sparse = match kind {
            Kind::GnuSparse => Some(self.gnu_sparse(header)?),
            Kind::File if pax.sparse.is_used() => Some(self.pax_sparse(std::mem::take(&mut pax.sparse))?),
            _ => None,
        };
        Ok(Entry {
            link,
            kind: if kind == Kind::GnuSparse { Kind::File } else { kind },
            mode: header.mode()?,
            uid,
            gid,
            mtime,
            atime: pax.atime,
            xattrs: pax.xattrs,
            device,
            stored: self.content,
            sparse,
            name,
        })
    }

    /// The old GNU format: the map is in the header and in blocks right behind it.
    fn gnu_sparse(&mut self, header: &Header<'_>) -> Result<SparseMap, LayerError> {
        let (field, mut more) = header.gnu_sparse();
        let mut segments = Vec::new();
        gnu_segments(field, &mut segments, &self.name)?;
        while more {
            let mut block = [0u8; BLOCK];
            self.fill(&mut block)?;
            gnu_segments(&block[..504], &mut segments, &self.name)?;
            more = block[504] != 0;
        }
        SparseMap::checked(segments, header.gnu_real_size()?, self.content, &self.name)
    }

    fn pax_sparse(&mut self, sparse: PaxSparse) -> Result<SparseMap, LayerError> {
        let segments = if sparse.version == Some((1, 0)) { self.map_in_content()? } else { sparse.map };
        let real_size = sparse
            .real_size
            .ok_or_else(|| LayerError::malformed(&self.name, "sparse file without its real size"))?;
        SparseMap::checked(segments, real_size, self.content, &self.name)
    }

    /// PAX format 1.0: decimal numbers, one a line, filled up to a whole block in front of the content.
    fn map_in_content(&mut self) -> Result<Vec<Segment>, LayerError> {
        let mut lines = MapLines { archive: self, block: Vec::new(), at: 0 };
        let count = lines.number()?;
        let mut segments = Vec::new();
        for _ in 0..count {
            let segment = Segment { offset: lines.number()?, length: lines.number()? };
            push(&mut segments, segment, &lines.archive.name)?;
        }
        Ok(segments)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, LayerError> {
        let mut name = self.small_content(size, MAX_LONG_NAME)?;
        while name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn skip_content(&mut self) -> Result<(), LayerError> {
        self.content += std::mem::take(&mut self.padding);
        self.read_content(u64::MAX, |_| Ok(()))
    }

    /// A header, or `None` at two zero blocks, or where the stream simply ends between entries.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, LayerError> {
        let at_end = |reader: &mut R, name: &[u8]| {
            reader.fill_buf().map(<[u8]>::is_empty).map_err(|e| LayerError::reading(name, e))
        };
        let mut block = [0u8; BLOCK];
        for _ in 0..2 {
            if at_end(&mut self.reader, &self.name)? {
                return Ok(None);
            }
            self.fill(&mut block)?;
            if !Header(&block).is_zero() {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn fill(&mut self, block: &mut [u8; BLOCK]) -> Result<(), LayerError> {
        self.reader.read_exact(block).map_err(|e| LayerError::reading(&self.name, e))
    }
}

/// Reads the numbers of a PAX 1.0 map out of an entry's content, block by block.
struct MapLines<'a, R> {
    archive: &'a mut Archive<R>,
    block: Vec<u8>,
    at: usize,
}

impl<R: BufRead> MapLines<'_, R> {
    fn number(&mut self) -> Result<u64, LayerError> {
        let bad = |name: &[u8]| LayerError::malformed(name, "invalid sparse map");
        let mut digits = Vec::new();
        loop {
            if self.at == self.block.len() {
                if self.archive.content < BLOCK as u64 {
                    return Err(bad(&self.archive.name));
                }
                self.block.clear();
                self.at = 0;
                let block = &mut self.block;
                self.archive.read_content(BLOCK as u64, |chunk| {
                    block.extend_from_slice(chunk);
                    Ok(())
                })?;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                return decimal(&digits).ok_or_else(|| bad(&self.archive.name));
            }
            if digits.len() >= 20 {
                return Err(bad(&self.archive.name));
            }
            digits.push(byte);
        }
    }
}
