//! Server-sent events, found in bytes of any chunking without copying what need not be copied.
//!
//! Constraints (HTML Living Standard, "Server-sent events"): a line ends with LF, CRLF or CR; a blank line ends
//! an event; a line that begins with a colon is a comment; one space after the field's colon is dropped; several
//! data lines are joined with LF; a byte order mark may open the stream; an event without data is none. Chunk
//! borders fall anywhere, also between CR and LF and inside a character. An event that is not ended by a blank
//! line is unfinished; OpenAI-like vendors sometimes close right after their last line, so [`Scanner::finish`]
//! offers it.

pub(crate) mod closed;
mod passing;
pub(crate) mod relay;

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

    /// The stream is over: offers an event that no blank line ended. [`WireError::Cut`] if there is only the beginning
    /// of one.
    pub fn finish(&mut self, each: impl FnOnce(Event<'_>) -> Result<(), WireError>) -> Result<(), WireError> {
        let block = std::mem::take(&mut self.carry);
        unfinished(&block)?.map_or(Ok(()), each)
    }
}

/// The event that a stream left unfinished when it closed. None: only comments. [`WireError::Cut`]: only its beginning.
pub(crate) fn unfinished(block: &[u8]) -> Result<Option<Event<'_>>, WireError> {
    let event = Event::read(block);
    let silent = || lines(block).all(|line| line.is_empty() || line.starts_with(b":"));
    if event.is_some() || silent() { Ok(event) } else { Err(WireError::Cut) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(Option<String>, String)> {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        let mut keep = |event: Event<'_>| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            found.push((event.name.map(text), text(&event.data)));
            Ok(())
        };
        for chunk in chunks {
            scanner.push(chunk, &mut keep).unwrap();
        }
        scanner.finish(&mut keep).unwrap();
        found
    }

    fn data(text: &str) -> Vec<String> {
        let whole = events(&[text.as_bytes()]);
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(events(&[head, tail]), whole, "{text:?} at {at}");
        }
        whole.into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn events_are_found_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                format!("data: a{end}{end}data:b{end}data:  c{end}{end}{end}: no{end}{end}data{end}{end}");
            assert_eq!(data(&text), ["a", "b\n c", ""], "{end:?}");
        }
        assert_eq!(data("data: a\r\n\ndata: b\n\r\ndata: c\r\r\n"), ["a", "b", "c"]);
    }

    #[test]
    fn comments_names_marks_and_unknown_fields_are_no_data() {
        assert_eq!(data("\u{feff}data: a\n\n"), ["a"]);
        assert_eq!(data(": hi\n\nid: 3\nretry: 1\n\nevent: x\n\n"), [""; 0]);
        let named = events(&[b"event: done\n: c\ndata: 1\nfoo: 2\n\n"]);
        assert_eq!(named, [(Some("done".into()), "1".into())]);
    }

    #[test]
    fn an_event_that_no_blank_line_ended_is_offered_at_the_end() {
        assert_eq!(data("data: a\n\ndata: b"), ["a", "b"]);
        assert_eq!(data("data: a\n\n: b"), ["a"]);
        for half in ["da", "dat: a", "event: x\n", ": b\nid: 7"] {
            let mut scanner = Scanner::default();
            scanner.push(half.as_bytes(), |_| Ok(())).unwrap();
            assert!(matches!(scanner.finish(|_| Ok(())), Err(WireError::Cut)), "{half:?}");
        }
    }

    #[test]
    fn an_event_within_one_chunk_is_borrowed_and_one_too_long_is_refused() {
        let mut scanner = Scanner::with_limit(8);
        let whole = |event: Event<'_>| {
            assert!(matches!(event.data, Cow::Borrowed(_)));
            Ok(())
        };
        scanner.push(b"data: longer than eight\n\ndata: 12", whole).unwrap();
        assert!(matches!(scanner.push(b"3", whole), Err(WireError::TooLong { limit: 8 })));
    }
}
