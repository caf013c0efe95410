//! Maps of sparse files (GNU tar manual, "Storing Sparse Files").

use super::LayerError;
use super::header::number;

/// No real file has more holes; each costs 16 bytes of memory.
pub(crate) const MAX_SEGMENTS: usize = 1 << 20;

/// A run of data in a file that is a hole elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The whole map of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SparseMap {
    pub(crate) segments: Vec<Segment>,
    pub(crate) real_size: u64,
}

impl SparseMap {
    /// Segments must be in order, apart, within the file, and be all of the `stored` bytes.
    pub(crate) fn checked(
        segments: Vec<Segment>,
        real_size: u64,
        stored: u64,
        name: &[u8],
    ) -> Result<SparseMap, LayerError> {
        let bad = |reason| Err(LayerError::malformed(name, reason));
        if i64::try_from(real_size).is_err() {
            return bad("sparse file is too large");
        }
        let (mut end, mut sum) = (0u64, 0u64);
        for segment in &segments {
            let Some(next) = segment.offset.checked_add(segment.length) else {
                return bad("sparse map overflows");
            };
            if segment.offset < end || next > real_size {
                return bad("sparse map is out of order or beyond the file's end");
            }
            end = next;
            sum += segment.length;
        }
        if sum != stored {
            return bad("sparse map does not match the stored size");
        }
        Ok(SparseMap { segments, real_size })
    }
}

/// Pairs of 12-byte numbers as the old GNU format has them; an empty pair ends the list.
pub(crate) fn gnu_segments(field: &[u8], into: &mut Vec<Segment>, name: &[u8]) -> Result<(), LayerError> {
    for pair in field.chunks_exact(24) {
        if pair.iter().all(|b| *b == 0) {
            break;
        }
        let value = |field| number(field).and_then(|n| u64::try_from(n).ok());
        let (Some(offset), Some(length)) = (value(&pair[..12]), value(&pair[12..])) else {
            return Err(LayerError::malformed(name, "invalid sparse map"));
        };
        push(into, Segment { offset, length }, name)?;
    }
    Ok(())
}

pub(crate) fn push(into: &mut Vec<Segment>, segment: Segment, name: &[u8]) -> Result<(), LayerError> {
    if into.len() >= MAX_SEGMENTS {
        return Err(LayerError::malformed(name, "sparse map has too many segments"));
    }
    into.push(segment);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segments: &[(u64, u64)], real: u64, stored: u64) -> bool {
        let segments = segments.iter().map(|(offset, length)| Segment { offset: *offset, length: *length });
        SparseMap::checked(segments.collect(), real, stored, b"f").is_ok()
    }

    #[test]
    fn checks_maps() {
        assert!(check(&[], 100, 0));
        assert!(check(&[(0, 10), (50, 10), (100, 0)], 100, 20));
        assert!(!check(&[(0, 10)], 100, 9));
        assert!(!check(&[(0, 10), (5, 10)], 100, 20));
        assert!(!check(&[(95, 10)], 100, 10));
        assert!(!check(&[(u64::MAX, 10)], 100, 10));
        assert!(!check(&[], u64::MAX, 0));
    }
}
