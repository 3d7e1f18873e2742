//! Whole events of a stream that is relayed: each is read before it passes, and passes as it came.
//!
//! Constraints:
//! - An event passes when it is complete and could be read. No client can use half an event, so waiting costs nobody
//!   anything; no client ever has half of one, and an event of our own can follow at any time.
//! - A block that is not UTF-8 ends the stream, and so does one whose data is empty: the official SDKs die on both.
//! - The terminal event is withheld until the call is settled. What follows it is nobody's.
//! - Events that lie within one frame pass as a slice of it; an event over several frames is copied once.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::de::IgnoredAny;

use crate::error::WireError;
use crate::json::{At, Fault, Mapped, members, utf8};
use crate::sse::passing::Passing;
use crate::sse::{Lines, MAX_EVENT, unfinished};

const BLANK_LINE: &[u8] = b"\n\n";

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// The client does not get it.
    Drop,
    /// It passes without these of its bytes.
    Cut(Range<usize>),
    /// It is the terminal one.
    End,
}

/// What reads the events of one wire.
pub trait Reader {
    /// Reads an event, its lines and the blank one as they came. Nothing that is an error passes.
    fn read(&mut self, block: &[u8]) -> Result<Verdict, WireError>;

    /// Whether an event whose blank line has not come is the terminal one.
    fn ends(&self, block: &[u8]) -> bool;
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Relay<R> {
    pub(crate) reader: R,
    limit: usize,
    lines: Lines,
    /// The unfinished event.
    carry: Vec<u8>,
    /// The last event was dropped; a line feed that still belongs to it goes with it.
    dropped: bool,
    /// The terminal event, of which a line feed may be on its way.
    end: Option<BytesMut>,
}

impl<R: Reader> Relay<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self::with_limit(reader, MAX_EVENT)
    }

    /// One that refuses events over several frames of more than `limit` bytes.
    pub(crate) fn with_limit(reader: R, limit: usize) -> Self {
        Self { reader, limit, lines: Lines::default(), carry: Vec::new(), dropped: false, end: None }
    }

    /// Takes the vendor's next frame and adds to `out` what may go to the client now, at most one slice. Some: the
    /// terminal event. Errors: an event that cannot be read, or is too long; what stood before it has been passed.
    #[expect(clippy::needless_pass_by_value, reason = "a frame is handed on, not looked at")]
    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        if frame.is_empty() {
            return Ok(None);
        }
        if let Some(mut end) = self.end.take() {
            end.extend_from_slice(&frame[..usize::from(frame[0] == b'\n')]);
            return Ok(Some(end.freeze()));
        }
        let mut passing = Passing::new(&frame);
        let ended = self.events(&frame, &mut passing);
        out.extend(passing.done());
        ended
    }

    fn events(&mut self, frame: &Bytes, passing: &mut Passing<'_>) -> Result<Option<Bytes>, WireError> {
        let mut at = self.lines.absorb(frame);
        if self.dropped || !self.carry.is_empty() {
            passing.skip_to(at);
        }
        if !self.carry.is_empty() {
            self.carry.extend_from_slice(&frame[..at]);
        }
        while let Some(length) = self.lines.event_end(&frame[at..]) {
            let event = at..at + length;
            at = event.end;
            let mut carry = std::mem::take(&mut self.carry);
            let known = carry.len();
            let block = if known == 0 {
                &frame[event.clone()]
            } else {
                carry.extend_from_slice(&frame[event.clone()]);
                carry.as_slice()
            };
            let read = text(block).and_then(|()| self.reader.read(block));
            let verdict = read.inspect_err(|_| passing.end_at(event.start))?;
            self.dropped = verdict == Verdict::Drop;
            match verdict {
                Verdict::Pass => passing.insert(event.start, &block[..known]),
                Verdict::Drop => passing.skip(event),
                Verdict::Cut(cut) if known == 0 => {
                    passing.skip(event.start + cut.start..event.start + cut.end);
                }
                Verdict::Cut(cut) => {
                    passing.insert(event.start, &block[..cut.start]);
                    passing.insert(event.start, &block[cut.end..]);
                    passing.skip(event);
                }
                Verdict::End => {
                    passing.end_at(event.start);
                    if at == frame.len() && block.ends_with(b"\n\r") {
                        self.end = Some(block.into());
                        return Ok(None);
                    }
                    return Ok(Some(Bytes::copy_from_slice(block)));
                }
            }
            carry.clear();
            self.carry = carry;
        }
        passing.end_at(at);
        let rest = &frame[at..];
        if self.carry.len() + rest.len() > self.limit {
            return Err(WireError::TooLong { limit: self.limit });
        }
        self.carry.extend_from_slice(rest);
        Ok(None)
    }

    /// The terminal event, if all but its line ends has come; these are put in.
    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        if let Some(mut end) = self.end.take() {
            end.extend_from_slice(b"\n");
            return Some(end.freeze());
        }
        if !self.reader.ends(&self.carry) {
            return None;
        }
        // Its facts are read; that it is the end is known.
        self.reader.read(&self.carry).ok()?;
        Some([&std::mem::take(&mut self.carry), BLANK_LINE].concat().into())
    }

    /// The upstream closed: adds to `out` an event whose blank line is all that it lacks. Errors: it broke off inside an
    /// event.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> Result<(), WireError> {
        let block = std::mem::take(&mut self.carry);
        unfinished(&block)?;
        let ended = |block: &[u8]| Bytes::from([block, BLANK_LINE].concat());
        match text(&block).and_then(|()| self.reader.read(&block)).map_err(|_| WireError::Cut)? {
            Verdict::Pass if !block.is_empty() => out.push(ended(&block)),
            Verdict::Pass | Verdict::Drop => {}
            Verdict::Cut(cut) => out.push(ended(&[&block[..cut.start], &block[cut.end..]].concat())),
            Verdict::End => return Err(WireError::Cut),
        }
        Ok(())
    }
}

/// A stream is UTF-8 throughout: clients die on other bytes in comments and names too.
pub(crate) fn text(block: &[u8]) -> Result<(), WireError> {
    utf8(block).map(|_| ()).map_err(|fault| unreadable(&fault))
}

/// Whether JSON is an object: clients die on any other event.
pub(crate) fn is_object(data: &[u8]) -> Result<(), WireError> {
    if data.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    Err(Fault::invalid(&At::Root, "an event of the stream is no object").into())
}

/// Whether clients bear an event that could not be read: an object, whose member `name` is a list of objects, or of
/// nulls among them, if it is there.
pub(crate) fn lists_objects(data: &[u8], name: &str) -> Result<(), WireError> {
    is_object(data)?;
    let mut listed = Ok(());
    members(utf8(data)?, |key, raw| {
        if key == name && serde_json::from_str::<Option<Vec<Option<Mapped<IgnoredAny>>>>>(raw.get()).is_err()
        {
            listed = Err(Fault::mistyped(&At::Root.field(name), "an array of objects", raw));
        }
    })?;
    Ok(listed?)
}

/// What cannot be read as an event of the wire.
pub(crate) fn unreadable(fault: &Fault) -> WireError {
    Fault::invalid(&At::Root, format!("an event of the stream is none: {fault}")).into()
}
