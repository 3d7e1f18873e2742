//! Server-sent events, found in bytes of any chunking without copying what need not be copied.
//!
//! Constraints (HTML Living Standard, "Server-sent events"): a line ends with LF, CRLF or CR; a blank line ends
//! an event; a line that begins with a colon is a comment; one space after the field's colon is dropped; several
//! data lines are joined with LF; a byte order mark may open the stream; an event without data is none. Chunk
//! borders fall anywhere, also between CR and LF and inside a character. An event that is not ended by a blank
//! line is unfinished; OpenAI-like vendors sometimes close right after their last line, so [`Scanner::finish`]
//! offers it.

use std::borrow::Cow;

use crate::error::WireError;

/// The largest event that is carried from chunk to chunk.
pub const MAX_EVENT: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's name, if it has one. Bytes, because a vendor may send what is not UTF-8.
    pub name: Option<&'a [u8]>,
    /// The data lines, joined.
    pub data: Cow<'a, [u8]>,
}

/// Finds events. Those that lie within one chunk are borrowed from it.
#[derive(Debug)]
pub struct Scanner {
    lines: Lines,
    carry: Vec<u8>,
    limit: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT)
    }
}

impl Scanner {
    /// A scanner that refuses events of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { lines: Lines::default(), carry: Vec::new(), limit }
    }

    /// Takes the next chunk and calls `each` with every event that it completes, in order. Stops at the first
    /// error, the caller's or [`WireError::TooLong`].
    pub fn push(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Event<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut rest = &chunk[self.lines.absorb(chunk)..];
        while let Some(end) = self.lines.event_end(rest) {
            let (block, after) = rest.split_at(end);
            rest = after;
            if self.carry.is_empty() {
                if let Some(event) = Event::read(block) {
                    each(event)?;
                }
            } else {
                self.carry.extend_from_slice(block);
                let block = std::mem::take(&mut self.carry);
                if let Some(event) = Event::read(&block) {
                    each(event)?;
                }
            }
        }
        if self.carry.len() + rest.len() > self.limit {
            return Err(WireError::TooLong { limit: self.limit });
        }
        self.carry.extend_from_slice(rest);
        Ok(())
    }

    /// The stream is over: offers an event that no blank line ended.
    pub fn finish(&mut self, each: impl FnOnce(Event<'_>) -> Result<(), WireError>) -> Result<(), WireError> {
        let block = std::mem::take(&mut self.carry);
        Event::read(&block).map_or(Ok(()), each)
    }
}

impl<'a> Event<'a> {
    /// Reads the lines of one event. None if there is no data line.
    pub(crate) fn read(block: &'a [u8]) -> Option<Self> {
        let mut name = None;
        let mut data: Option<Cow<'a, [u8]>> = None;
        for line in lines(block) {
            match field(line) {
                (b"data", value) => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                },
                (b"event", value) => name = Some(value),
                _ => {}
            }
        }
        data.map(|data| Self { name, data })
    }
}

/// The lines of a block without their ends. A byte order mark at the start is dropped.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(block);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else { return Some(std::mem::take(&mut rest)) };
        let line = &rest[..end];
        let next = if rest[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = &rest[next..];
        Some(line)
    })
}

/// A line's field name and value. A comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        None => (line, &[]),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// Where lines and events end, remembered from chunk to chunk in two bits.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lines {
    /// The current line has bytes.
    open: bool,
    /// The last chunk ended with CR; an LF that follows belongs to the same line end.
    after_cr: bool,
}

impl Lines {
    /// Must come first for every chunk: how many bytes at its start still belong to the last chunk's line end.
    pub(crate) fn absorb(&mut self, chunk: &[u8]) -> usize {
        match chunk.first() {
            None => 0,
            Some(first) => usize::from(std::mem::take(&mut self.after_cr) && *first == b'\n'),
        }
    }

    /// The end of the current event in `bytes`, its blank line included. None: all of `bytes` is unfinished.
    pub(crate) fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(length) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) {
            let blank = length == 0 && !self.open;
            let end = at + length;
            at = end + 1;
            if bytes[end] == b'\r' {
                match bytes.get(at) {
                    Some(b'\n') => at += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.open = false;
            if blank {
                return Some(at);
            }
        }
        self.open |= at < bytes.len();
        None
    }
}
