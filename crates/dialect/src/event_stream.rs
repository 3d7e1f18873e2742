//! AWS event-stream frames (`application/vnd.amazon.eventstream`), found in bytes of any chunking.
//!
//! A frame, all integers big-endian (Amazon's "Event stream encoding"): its total length and the length of its
//! headers, four bytes each; the CRC-32 of these eight bytes; the headers; the payload; the CRC-32 of everything
//! before it. A header is the length of its name in one byte, the name, a type in one byte, and the value.
//!
//! Constraints:
//! - A length is believed only after its own checksum has held, and never beyond [`MAX_FRAME`], so that a stranger
//!   can make nobody wait for, or store, four gigabytes.
//! - A frame that lies within one chunk is borrowed from it.
//! - [`take`] says where a frame ends, so that a relay can forward the very bytes it has checked.
//!
//! Written here because `aws-smithy-eventstream` does none of the three: it waits for as many bytes as a prelude
//! claims before it checks the prelude, copies each payload, and gives no spans; and it brings a dozen crates with it.

use bytes::{BufMut, BytesMut};
use crc32fast::hash as crc32;

use crate::error::WireError;
use crate::json::{At, Fault};

/// The largest frame that is read: botocore takes headers of 128 KiB and a payload of 24 MiB at most.
pub const MAX_FRAME: usize = MAX_HEADERS + (24 << 20) + OVERHEAD;

const MAX_HEADERS: usize = 128 << 10;
/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// The prelude, and the checksum at the end.
const OVERHEAD: usize = PRELUDE + 4;

/// A frame whose checksums have held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    headers: &'a [u8],
    /// What the frame carries.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The value of a header of type string, the only type that Bedrock sends. The last one of that name counts, as
    /// it does to botocore.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = Headers(self.headers).flatten().filter(|header| header.name == name.as_bytes());
        found.last().and_then(|header| std::str::from_utf8(header.text?).ok())
    }
}

/// A header, as far as it concerns anybody here.
struct Header<'a> {
    name: &'a [u8],
    /// The value, if it is a string.
    text: Option<&'a [u8]>,
}

/// Reads headers one by one.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    /// None if it cannot be read; it is then the last.
    type Item = Option<Header<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let found = header(self.0);
        self.0 = found.as_ref().map_or(&[], |(_, rest)| rest);
        Some(found.map(|(header, _)| header))
    }
}

/// The first header and what follows it.
fn header(bytes: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let (length, rest) = match kind {
        // Booleans are their type; then integers of 1, 2, 4 and 8 bytes; bytes and texts with their length; a time
        // and a UUID.
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        9 => (16, rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Header { name, text: (*kind == 7).then_some(value) }, rest))
}

/// The frame at the start of `bytes`, and its length. None if more bytes are needed.
///
/// # Errors
/// [`WireError::TooLong`] if it claims more than `limit` bytes; [`WireError::Garbage`] if it is no frame or a checksum
/// does not hold.
pub fn take(bytes: &[u8], limit: usize) -> Result<Option<(Frame<'_>, usize)>, WireError> {
    let Some((total, headers)) = prelude(bytes, limit)? else { return Ok(None) };
    let Some(frame) = bytes.get(..total) else { return Ok(None) };
    let (checked, sum) = frame.split_at(total - 4);
    if big_endian(sum) != crc32(checked) {
        return Err(broken("the checksum of an event-stream frame does not hold"));
    }
    let (headers, payload) = checked[PRELUDE..].split_at(headers);
    if Headers(headers).any(|header| header.is_none()) {
        return Err(broken("a header of an event-stream frame cannot be read"));
    }
    Ok(Some((Frame { headers, payload }, total)))
}

/// The checked lengths at the start of `bytes`: of the frame and of its headers. None if more bytes are needed.
fn prelude(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, WireError> {
    let Some((prelude, _)) = bytes.split_first_chunk::<PRELUDE>() else { return Ok(None) };
    let (lengths, sum) = prelude.split_at(8);
    if big_endian(sum) != crc32(lengths) {
        return Err(broken("the checksum of an event-stream prelude does not hold"));
    }
    let (total, headers) = lengths.split_at(4);
    let [total, headers] =
        [total, headers].map(|length| usize::try_from(big_endian(length)).unwrap_or(usize::MAX));
    if total > limit {
        return Err(WireError::TooLong { limit });
    }
    if headers > MAX_HEADERS || total < OVERHEAD || total - OVERHEAD < headers {
        return Err(broken("the lengths of an event-stream frame contradict each other"));
    }
    Ok(Some((total, headers)))
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn broken(text: &str) -> WireError {
    Fault::invalid(&At::Root, text).into()
}

/// Finds frames. Those that lie within one chunk are borrowed from it.
#[derive(Debug)]
pub struct Frames {
    carry: Vec<u8>,
    limit: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME)
    }
}

impl Frames {
    /// Refuses frames of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Self {
        Self { carry: Vec::new(), limit }
    }

    /// Takes the next chunk and calls `each` with every frame that it completes, in order. Stops at the first error,
    /// the caller's or that of [`take`]; after it the stream is lost.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(Frame<'_>) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        while !self.carry.is_empty() && !chunk.is_empty() {
            // Only as much as the frame needs, so that what follows is borrowed again.
            let needed = match prelude(&self.carry, self.limit)? {
                Some((total, _)) => total - self.carry.len(),
                None => PRELUDE - self.carry.len(),
            };
            let (more, rest) = chunk.split_at(needed.min(chunk.len()));
            self.carry.extend_from_slice(more);
            chunk = rest;
            if let Some((frame, _)) = take(&self.carry, self.limit)? {
                each(frame)?;
                self.carry.clear();
            }
        }
        while let Some((frame, length)) = take(chunk, self.limit)? {
            each(frame)?;
            chunk = &chunk[length..];
        }
        self.carry.extend_from_slice(chunk);
        Ok(())
    }

    /// Whether a frame has begun that is not complete.
    pub fn is_mid_frame(&self) -> bool {
        !self.carry.is_empty()
    }
}

/// Writes a frame with headers of type string. Names have at most 255 bytes and values 32,767; what is longer is cut,
/// between characters.
pub fn write(out: &mut BytesMut, headers: &[(&str, &str)], payload: &[u8]) {
    let start = out.len();
    out.put_bytes(0, PRELUDE);
    for (name, value) in headers {
        let (name, value) = (cut(name, usize::from(u8::MAX)), cut(value, 0x7fff));
        out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.put_slice(name.as_bytes());
        out.put_u8(7);
        out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        out.put_slice(value.as_bytes());
    }
    let headers = length(out.len() - start - PRELUDE);
    out.put_slice(payload);
    let total = length(out.len() - start + 4);
    out[start..start + 4].copy_from_slice(&total);
    out[start + 4..start + 8].copy_from_slice(&headers);
    let sum = crc32(&out[start..start + 8]);
    out[start + 8..start + PRELUDE].copy_from_slice(&sum.to_be_bytes());
    let sum = crc32(&out[start..]);
    out.put_u32(sum);
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests;
