//! An archive to read from: a folder, or a tar of which only an index of its members is held. Nothing of
//! it is unpacked to disk, so no name in it can lead anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::at;
use crate::layer::{Archive, Decoder, Kind, LayerError, TreePath};

const BUFFER: usize = 256 << 10;
/// Old docker-archives link equal layers to each other, one step deep.
const MAX_LINKS: usize = 8;

/// Where the members are.
pub(super) enum Source {
    Folder(PathBuf),
    Tar { file: File, path: PathBuf, members: HashMap<TreePath, Member> },
}

/// A member's bytes.
pub(super) type Content<'a> = Box<dyn Read + Send + 'a>;

pub(super) enum Member {
    File { offset: u64, size: u64 },
    Link(TreePath),
}

impl Source {
    /// Opens a folder, or a tar; a compressed one is decompressed into `scratch` first, as it cannot be
    /// read from the middle.
    pub(super) fn open(path: &Path, scratch: impl FnOnce() -> Result<File, Error>) -> Result<Source, Error> {
        if path.is_dir() {
            return Ok(Source::Folder(path.to_owned()));
        }
        let mut file = File::open(path).map_err(at("open", path))?;
        let mut decoder = Decoder::new(BufReader::with_capacity(BUFFER, &file)).map_err(at("read", path))?;
        if !matches!(decoder, Decoder::Plain(_)) {
            let mut plain = scratch()?;
            io::copy(&mut decoder, &mut plain).map_err(at("decompress", path))?;
            drop(decoder);
            file = plain;
        }
        file.seek(SeekFrom::Start(0)).map_err(at("read", path))?;
        let members = index(&file)
            .map_err(|error| Error::Archive { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Source::Tar { file, path: path.to_owned(), members })
    }

    fn path(&self) -> &Path {
        match self {
            Source::Folder(path) | Source::Tar { path, .. } => path,
        }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Archive { path: self.path().to_owned(), reason: reason.into() }
    }

    /// A reader of one member, and its size; `None` where there is none of that name.
    pub(super) fn member(&self, name: &str) -> Result<Option<(Content<'_>, u64)>, Error> {
        let key = TreePath::parse(name.as_bytes()).map_err(|error| self.wrong(error.to_string()))?;
        match self {
            Source::Folder(folder) => {
                let path = folder.join(std::ffi::OsStr::from_bytes(key.as_bytes()));
                match File::open(&path) {
                    Ok(file) => {
                        let size = file.metadata().map_err(at("read", &path))?.len();
                        Ok(Some((Box::new(file), size)))
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::io("open", &path, error)),
                }
            }
            Source::Tar { file, members, .. } => {
                let mut member = members.get(&key);
                for _ in 0..MAX_LINKS {
                    match member {
                        Some(Member::Link(target)) => member = members.get(target),
                        Some(Member::File { offset, size }) => {
                            let part = Part { file, at: *offset, left: *size };
                            return Ok(Some((Box::new(part), *size)));
                        }
                        None => return Ok(None),
                    }
                }
                Err(self.wrong(format!("links of {name} go in circles")))
            }
        }
    }

    /// A member small enough for memory.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some((reader, size)) = self.member(name)? else { return Ok(None) };
        if size > limit {
            return Err(self.wrong(format!("{name} has {size} bytes, more than the {limit} it may have")));
        }
        let mut bytes = Vec::new();
        reader.take(limit).read_to_end(&mut bytes).map_err(at("read", self.path()))?;
        Ok(Some(bytes))
    }
}

/// Where each member lies in the file.
fn index(file: &File) -> Result<HashMap<TreePath, Member>, LayerError> {
    let mut members = HashMap::new();
    let mut archive = Archive::new(Counting { inner: BufReader::with_capacity(BUFFER, file), position: 0 });
    while let Some(entry) = archive.next_entry()? {
        let path = TreePath::parse(&entry.name)?;
        match entry.kind {
            Kind::File if entry.sparse.is_some() => {
                return Err(LayerError::malformed(&entry.name, "sparse file in an image archive"));
            }
            Kind::File => {
                let offset = archive.reader().position;
                members.insert(path, Member::File { offset, size: entry.stored });
                // Past the content without reading it.
                archive.skip_with(|reader, bytes| {
                    reader.position += bytes;
                    reader.inner.seek_relative(i64::try_from(bytes).unwrap_or(i64::MAX))
                })?;
            }
            Kind::HardLink => {
                members.insert(path, Member::Link(TreePath::parse(&entry.link)?));
            }
            Kind::Symlink => {
                let target = [path.parent().as_bytes(), b"/", &entry.link].concat();
                members.insert(path, Member::Link(TreePath::parse(&target)?));
            }
            _ => {}
        }
    }
    Ok(members)
}

/// Knows how far it has read.
struct Counting<R> {
    inner: R,
    position: u64,
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount as u64;
        self.inner.consume(amount);
    }
}

/// A stretch of the file; several may be read at once.
struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let take = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..take], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
