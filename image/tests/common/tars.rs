//! Tars byte by byte: a writer that can lie.

use std::io::Write;

#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: u64,
    pub device: (u32, u32),
    pub content: Vec<u8>,
    /// The size field as it is written, where it is to differ from the content.
    pub size_field: Option<[u8; 12]>,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
}

pub fn entry(kind: u8, name: &str) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        link: Vec::new(),
        kind,
        mode: if kind == b'5' { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        mtime: 1_500_000_000,
        device: (0, 0),
        content: Vec::new(),
        size_field: None,
        pax: Vec::new(),
    }
}

pub fn file(name: &str, content: &[u8]) -> Entry {
    Entry { content: content.to_vec(), ..entry(b'0', name) }
}

pub fn dir(name: &str) -> Entry {
    entry(b'5', name)
}

pub fn symlink(name: &str, target: &str) -> Entry {
    entry(b'2', name).link(target)
}

pub fn hard_link(name: &str, target: &str) -> Entry {
    entry(b'1', name).link(target)
}

impl Entry {
    pub fn link(mut self, target: &str) -> Entry {
        self.link = target.as_bytes().to_vec();
        self
    }
    pub fn mode(mut self, mode: u32) -> Entry {
        self.mode = mode;
        self
    }
    pub fn owner(mut self, uid: u32, gid: u32) -> Entry {
        (self.uid, self.gid) = (uid, gid);
        self
    }
    pub fn mtime(mut self, mtime: u64) -> Entry {
        self.mtime = mtime;
        self
    }
    pub fn device(mut self, major: u32, minor: u32) -> Entry {
        self.device = (major, minor);
        self
    }
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Entry {
        self.pax.push((key.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Entry {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }
    pub fn size_field(mut self, field: &[u8; 12]) -> Entry {
        self.size_field = Some(*field);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            let header = Entry { content: records, ..entry(b'x', "pax") };
            out.extend(header.bytes());
        }
        if self.name.len() > 100 {
            let long = Entry { content: [&self.name[..], b"\0"].concat(), ..entry(b'L', "././@LongLink") };
            out.extend(long.bytes());
        }
        if self.link.len() > 100 {
            let long = Entry { content: [&self.link[..], b"\0"].concat(), ..entry(b'K', "././@LongLink") };
            out.extend(long.bytes());
        }
        out.extend(self.header());
        out.extend(&self.content);
        out.resize(out.len().next_multiple_of(512), 0);
        out
    }

    pub fn header(&self) -> [u8; 512] {
        let mut block = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, format!("{:07o}", self.gid).as_bytes());
        put(124, format!("{:011o}", self.content.len()).as_bytes());
        if let Some(field) = &self.size_field {
            put(124, field);
        }
        put(136, format!("{:011o}", self.mtime).as_bytes());
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        seal(&mut block);
        block
    }
}

/// Writes the checksum.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out: Vec<u8> = entries.iter().flat_map(Entry::bytes).collect();
    out.resize(out.len() + 1024, 0);
    out
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}
