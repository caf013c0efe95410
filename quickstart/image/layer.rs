//! The image's only layer: the program, and the few files that software looks for.

use tar::{Builder, EntryType, Header};

use crate::Error;

const PASSWD: &[u8] =
    b"root:x:0:0:root:/:/reeve-quickstart\nnobody:x:65534:65534:nobody:/:/reeve-quickstart\n";
const GROUP: &[u8] = b"root:x:0:\nnobody:x:65534:\n";
const PAGE: &[u8] = include_bytes!("index.html");

/// The layer as an uncompressed tar.
pub(crate) fn tar(program: &[u8]) -> Result<Vec<u8>, Error> {
    let mut tar = Builder::new(Vec::new());
    folder(&mut tar, "etc/", 0o755)?;
    file(&mut tar, "etc/group", 0o644, GROUP)?;
    file(&mut tar, "etc/passwd", 0o644, PASSWD)?;
    file(&mut tar, "reeve-quickstart", 0o755, program)?;
    folder(&mut tar, "srv/", 0o755)?;
    file(&mut tar, "srv/index.html", 0o644, PAGE)?;
    folder(&mut tar, "tmp/", 0o1777)?;
    tar.into_inner().map_err(|source| Error::Entry { name: "end".into(), source })
}

fn folder(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32) -> Result<(), Error> {
    entry(tar, name, EntryType::Directory, mode, &[])
}

/// A regular file of root's at the beginning of time.
pub(crate) fn file(tar: &mut Builder<Vec<u8>>, name: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
    entry(tar, name, EntryType::Regular, mode, content)
}

fn entry(
    tar: &mut Builder<Vec<u8>>,
    name: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> Result<(), Error> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content).map_err(|source| Error::Entry { name: name.into(), source })
}
