//! What of a frame goes to the client.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// Collects what goes to the client out of one frame: a slice of it while it is contiguous, else one copy.
pub(super) struct Passing<'f> {
    frame: &'f Bytes,
    /// The beginning of the run that passes.
    from: usize,
    /// Nothing from here on passes.
    end: usize,
    copy: BytesMut,
}

impl<'f> Passing<'f> {
    pub(super) fn new(frame: &'f Bytes) -> Self {
        Self { frame, from: 0, end: frame.len(), copy: BytesMut::new() }
    }

    /// Leaves out a range of the frame.
    pub(super) fn skip(&mut self, range: Range<usize>) {
        if range.start > self.from {
            self.flush(range.start);
        }
        self.from = range.end;
    }

    pub(super) fn skip_to(&mut self, at: usize) {
        self.skip(self.from..at);
    }

    /// Puts bytes from earlier frames before what stands at `at`.
    pub(super) fn insert(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.flush(at);
            self.copy.extend_from_slice(bytes);
        }
    }

    /// Nothing from `at` on passes.
    pub(super) fn end_at(&mut self, at: usize) {
        self.end = self.end.min(at);
    }

    fn flush(&mut self, to: usize) {
        if to > self.from {
            self.reserve();
            self.copy.extend_from_slice(&self.frame[self.from..to]);
            self.from = to;
        }
    }

    fn reserve(&mut self) {
        if self.copy.capacity() == 0 {
            self.copy.reserve(self.frame.len());
        }
    }

    pub(super) fn done(mut self) -> Option<Bytes> {
        if self.copy.is_empty() {
            return (self.end > self.from).then(|| self.frame.slice(self.from..self.end));
        }
        self.flush(self.end);
        Some(self.copy.freeze())
    }
}
