//! One block of memory for output on its way from containers to their logs. Its pages exist only while
//! there is much output: an idle pod gives them back.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Pages below this stay for the usual trickle of lines.
const KEPT: usize = 4 << 10;

/// An anonymous mapping that remembers how far it was used.
#[derive(Debug)]
pub(crate) struct Scratch {
    start: NonNull<u8>,
    length: usize,
    used: usize,
}

impl Scratch {
    /// Reserves `length` bytes, a multiple of the page size; none is backed by memory yet.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let (read_write, private) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping overlaps nothing that exists.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, read_write, private, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Scratch { start, length, used: 0 })
    }

    /// Says that the first `bytes` were written to.
    pub(crate) fn touched(&mut self, bytes: usize) {
        self.used = self.used.max(bytes);
    }

    /// Gives the memory back beyond the first page.
    pub(crate) fn trim(&mut self) {
        if self.used > KEPT {
            // SAFETY: the range lies within our mapping, and its bytes are not needed between two uses.
            unsafe {
                libc::madvise(self.start.as_ptr().add(KEPT).cast(), self.length - KEPT, libc::MADV_DONTNEED);
            }
            self.used = 0;
        }
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `length` readable bytes for as long as `self` lives; zero pages are valid.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trim_gives_back_all_but_the_first_page() {
        let mut scratch = Scratch::new(64 << 10).unwrap();
        scratch.fill(7);
        scratch.touched(64 << 10);
        scratch.trim();
        assert_eq!(scratch[KEPT - 1], 7);
        assert!(scratch[KEPT..].iter().all(|byte| *byte == 0));
    }
}
