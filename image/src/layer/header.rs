//! One 512-byte tar header, as POSIX.1-2017 `pax` ("ustar Interchange Format") and the GNU tar manual
//! ("Basic Tar Format") lay it out.

use super::LayerError;

pub(crate) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Char,
    Block,
    Dir,
    Fifo,
    GnuSparse,
    GnuLongName,
    GnuLongLink,
    Pax,
    /// Of the archive, not of an entry: global PAX headers, volume labels.
    Ignored,
}

impl Kind {
    /// Such entries have no content, whatever their size field says.
    pub(crate) fn is_header_only(self) -> bool {
        matches!(self, Kind::HardLink | Kind::Symlink | Kind::Char | Kind::Block | Kind::Dir | Kind::Fifo)
    }
}

/// A header block.
pub(crate) struct Header<'a>(pub(crate) &'a [u8; BLOCK]);

impl Header<'_> {
    pub(crate) fn is_zero(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// Old tars summed signed bytes.
    pub(crate) fn check_sum(&self) -> Result<(), LayerError> {
        let bytes = || self.0[..148].iter().chain(&[b' '; 8]).chain(&self.0[156..]);
        let unsigned: i64 = bytes().map(|b| i64::from(*b)).sum();
        let signed: i64 = bytes().map(|b| i64::from(*b as i8)).sum();
        let stored = number(&self.0[148..156]);
        if stored == Some(unsigned) || stored == Some(signed) {
            return Ok(());
        }
        Err(self.malformed("wrong header checksum"))
    }

    pub(crate) fn kind(&self) -> Result<Kind, LayerError> {
        Ok(match self.0[156] {
            // Before POSIX, a directory was a file whose name ends with a slash.
            b'0' | 0 if self.raw_name().ends_with(b"/") => Kind::Dir,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Char,
            b'4' => Kind::Block,
            b'5' => Kind::Dir,
            b'6' => Kind::Fifo,
            b'S' => Kind::GnuSparse,
            b'L' => Kind::GnuLongName,
            b'K' => Kind::GnuLongLink,
            b'x' => Kind::Pax,
            b'g' | b'V' => Kind::Ignored,
            other => {
                return Err(self.malformed(&format!("unknown entry type {:?}", char::from(other))));
            }
        })
    }

    fn raw_name(&self) -> &[u8] {
        until_nul(&self.0[..100])
    }

    /// Name with ustar's prefix; GNU's format has other fields there.
    pub(crate) fn name(&self) -> Vec<u8> {
        let prefix = until_nul(&self.0[345..500]);
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() {
            return [prefix, b"/", self.raw_name()].concat();
        }
        self.raw_name().to_vec()
    }

    pub(crate) fn link_name(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    pub(crate) fn size(&self) -> Result<u64, LayerError> {
        let size = self.number(124..136, "size")?;
        u64::try_from(size).map_err(|_| self.malformed("negative size"))
    }

    pub(crate) fn mode(&self) -> Result<u32, LayerError> {
        // Some writers put the file type bits in as well.
        Ok((self.number(100..108, "mode")? & 0o7777) as u32)
    }

    pub(crate) fn uid(&self) -> Result<i64, LayerError> {
        self.number(108..116, "uid")
    }

    pub(crate) fn gid(&self) -> Result<i64, LayerError> {
        self.number(116..124, "gid")
    }

    pub(crate) fn mtime(&self) -> Result<i64, LayerError> {
        self.number(136..148, "mtime")
    }

    /// Major and minor number of a device.
    pub(crate) fn device(&self) -> Result<(u32, u32), LayerError> {
        let part =
            |value: i64| u32::try_from(value).map_err(|_| self.malformed("device number out of range"));
        Ok((part(self.number(329..337, "major")?)?, part(self.number(337..345, "minor")?)?))
    }

    /// The file's size with its holes (old GNU sparse format).
    pub(crate) fn gnu_real_size(&self) -> Result<u64, LayerError> {
        let size = self.number(483..495, "real size")?;
        u64::try_from(size).map_err(|_| self.malformed("negative size"))
    }

    /// The four segments in the header, and whether more blocks of them follow.
    pub(crate) fn gnu_sparse(&self) -> (&[u8], bool) {
        (&self.0[386..482], self.0[482] != 0)
    }

    fn number(&self, range: std::ops::Range<usize>, field: &str) -> Result<i64, LayerError> {
        number(&self.0[range]).ok_or_else(|| self.malformed(&format!("{field} is no number")))
    }

    pub(crate) fn malformed(&self, reason: &str) -> LayerError {
        LayerError::malformed(&self.name(), reason)
    }
}

/// Octal digits, or base 256 where the first bit is set. Empty counts as zero.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement, big-endian; bit 6 of the first byte is the sign.
        let negative = first & 0x40 != 0;
        let mut value: i128 = i128::from(first & 0x7f);
        if negative {
            value -= 0x80;
        }
        for byte in &field[1..] {
            value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
        }
        return i64::try_from(value).ok();
    }
    let digits = until_nul(field).trim_ascii();
    let mut value: i64 = 0;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"0008\0"), None);
        assert_eq!(number(b"-001\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn never_panics(block in proptest::collection::vec(any::<u8>(), BLOCK)) {
            let block: [u8; BLOCK] = block.try_into().unwrap();
            let header = Header(&block);
            let _ = (header.kind(), header.size(), header.mode(), header.uid(), header.mtime());
            let _ = (header.device(), header.gnu_real_size(), header.name(), header.check_sum());
        }
    }
}
