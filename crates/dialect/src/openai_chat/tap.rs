//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read.
//!
//! Constraints:
//! - Whole events pass ([`relay`](crate::sse::relay)), each one JSON value; the terminal event (`data: [DONE]`) waits
//!   until the call is settled. The official SDKs die on what is no JSON, so it ends the stream.
//! - An event is an object, and its choices are objects: the SDKs die on others. What is in them belongs to client and
//!   vendor: it is passed on and counted, never an error.
//! - A stream of its end alone is no answer, and one that ends in a tool call, without a reason, has broken off.
//! - One event costs a look at its bytes and a few searches. JSON is read of the first event, of those that finish a
//!   choice or hold usage, and of those that look unlike any vendor's.
//! - At most one allocation for a frame.
//!
//! With `hide_usage` the client must see what it would have seen had we not asked for usage. We caused two
//! things: the extra chunk with usage and without choices, which is dropped, and the member `"usage":null` on the
//! other chunks, which is cut out. Usage inside a chunk that has choices was the vendor's own idea and stays.
//! (A vendor that sends the extra chunk to everybody cannot be told apart; its clients lose it.)

mod reading;

use std::ops::Range;

use bytes::Bytes;

use crate::error::{UpstreamFault, WireError};
use crate::facts::StreamFacts;
use crate::json::{one_value, utf8};
use crate::openai_chat::tap::reading::{Marks, Reading};
use crate::sse::relay::{Reader, Relay, Verdict, unreadable};
use crate::sse::{Event, lines};
use crate::tap::TapEnd;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// The tap of one stream.
#[derive(Debug)]
pub struct Tap {
    relay: Relay<Chunks>,
}

/// Reads the events.
#[derive(Debug, Default)]
struct Chunks {
    hide_usage: bool,
    marks: Marks,
    read: Reading,
}

impl Tap {
    /// `hide_usage` undoes in the answer what [`relay_body`](crate::relay_body) injected into the request.
    pub(crate) fn new(hide_usage: bool) -> Self {
        Self { relay: Relay::new(Chunks { hide_usage, ..Chunks::default() }) }
    }

    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        self.relay.push(frame, out)
    }

    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        self.relay.unfinished_terminal()
    }

    /// Some servers never send `[DONE]`: a stream in which every choice has its finish reason is complete all the
    /// same.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        if let Some(terminal) = self.unfinished_terminal() {
            return TapEnd::Complete(terminal);
        }
        let whole = self.relay.finish(out).is_ok();
        let facts = self.facts();
        if facts.upstream_error.is_some() {
            TapEnd::VendorError
        } else if facts.finished && whole {
            TapEnd::Complete(Bytes::from_static(DONE))
        } else {
            TapEnd::Cut
        }
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        self.relay.reader.read.facts()
    }

    pub(crate) fn begun(&self) -> bool {
        self.relay.reader.read.facts.begun
    }

    pub(crate) fn fault(&self) -> Option<&UpstreamFault> {
        self.relay.reader.read.facts.upstream_error.as_ref()
    }
}

impl Reader for Chunks {
    fn read(&mut self, block: &[u8]) -> Result<Verdict, WireError> {
        // Nearly every event is one line that begins so; the marks are then searched in the block itself.
        let single = block.strip_prefix(b"data: ").or_else(|| block.strip_prefix(b"data:"));
        let single =
            single.map(<[u8]>::trim_ascii_end).filter(|data| memchr::memchr2(b'\n', b'\r', data).is_none());
        if let Some(data) = single.filter(|data| data.starts_with(b"{")) {
            check(data)?;
            let mark = self.marks.usage(data);
            let null_usage = mark.and_then(|mark| null_usage(data, mark));
            let silent = mark.is_none() || null_usage.is_some();
            if silent && self.marks.glance(data, &mut self.read) {
                return Ok(self.cut(block, data, null_usage));
            }
            return Ok(if self.read.event(data)? && self.hide_usage {
                Verdict::Drop
            } else {
                self.cut(block, data, null_usage)
            });
        }
        let Some(event) = Event::read(block) else { return Ok(Verdict::Pass) };
        if event.data.starts_with(b"[DONE]") {
            // After an error nothing makes a stream complete.
            if self.read.facts.upstream_error.is_some() {
                return Ok(Verdict::Pass);
            }
            // The end of nothing, or of a call that may lack its last arguments.
            if !self.read.facts.begun || self.read.breaks_off() {
                return Err(WireError::Cut);
            }
            self.read.facts.terminated = true;
            return Ok(Verdict::End);
        }
        check(&event.data)?;
        Ok(if self.read.event(&event.data)? && self.hide_usage { Verdict::Drop } else { Verdict::Pass })
    }

    fn ends(&self, block: &[u8]) -> bool {
        let first = lines(block).find_map(|line| line.strip_prefix(b"data:"));
        self.read.facts.upstream_error.is_none()
            && first.is_some_and(|data| data.strip_prefix(b" ").unwrap_or(data).starts_with(b"[DONE]"))
    }
}

impl Chunks {
    /// The cut of a null usage, as a range of the block.
    fn cut(&self, block: &[u8], data: &[u8], null_usage: Option<Range<usize>>) -> Verdict {
        match null_usage.filter(|_| self.hide_usage) {
            None => Verdict::Pass,
            Some(cut) => {
                let offset = data.as_ptr().addr() - block.as_ptr().addr();
                Verdict::Cut(offset + cut.start..offset + cut.end)
            }
        }
    }
}

fn check(data: &[u8]) -> Result<(), WireError> {
    utf8(data).and_then(one_value).map_err(|fault| unreadable(&fault))
}

/// The span of the member `"usage":null` of the top-level object `data`, with the comma that goes with it. `mark`
/// is where `"usage"` was found. None if it is not null, or not at the top level.
fn null_usage(data: &[u8], mark: usize) -> Option<Range<usize>> {
    let after = data[mark + b"\"usage\"".len()..].trim_ascii_start();
    let after = after.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"null")?;
    let end = data.len() - after.len();
    closes_one(after).then_some(())?;
    let before = data[..mark].trim_ascii_end();
    if before.last() == Some(&b',') {
        return Some(before.len() - 1..end);
    }
    let rest = after.trim_ascii_start();
    Some(mark..if rest.first() == Some(&b',') { data.len() - rest.len() + 1 } else { end })
}

/// Whether `rest` closes exactly one object more than it opens, so that what stands before it is at the top level.
fn closes_one(rest: &[u8]) -> bool {
    let mut depth = 0_i64;
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                while let Some(run) = memchr::memchr2(b'"', b'\\', &rest[at..]) {
                    at += run + 1;
                    if rest[at - 1] == b'"' {
                        break;
                    }
                    at = (at + 1).min(rest.len());
                }
            }
            _ => {}
        }
    }
    depth == -1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_too_long_to_carry_ends_the_stream() {
        let mut relay = Relay::with_limit(Chunks::default(), 16);
        let mut out = Vec::new();
        for frame in ["data: {\"a\":\"0123456789\"}\n\n", "data: {\"a\":", "\"01"] {
            relay.push(Bytes::from_static(frame.as_bytes()), &mut out).unwrap();
        }
        let more = relay.push(Bytes::from_static(b"2345"), &mut out);
        assert!(matches!(more, Err(WireError::TooLong { limit: 16 })), "{more:?}");
        assert_eq!(out.concat(), b"data: {\"a\":\"0123456789\"}\n\n");
    }

    #[test]
    fn a_null_usage_is_cut_only_at_the_top_level() {
        for (data, rest) in [
            (r#"{"a":1,"usage":null}"#, Some(r#"{"a":1}"#)),
            (r#"{"usage":null,"a":1}"#, Some(r#"{"a":1}"#)),
            (r#"{"usage":null}"#, Some("{}")),
            (r#"{"a":1 , "usage" : null , "b":"}\"{"}"#, Some(r#"{"a":1  , "b":"}\"{"}"#)),
            (r#"{"a":{"usage":null}}"#, None),
            (r#"{"a":{"usage":null},"b":[{}]}"#, None),
            (r#"{"usage":{}}"#, None),
            (r#"{"usage":nullx"#, None),
        ] {
            let mark = memchr::memmem::find(data.as_bytes(), b"\"usage\"").unwrap();
            let cut = null_usage(data.as_bytes(), mark);
            let left = cut.map(|cut| [&data[..cut.start], &data[cut.end..]].concat());
            assert_eq!(left.as_deref(), rest, "{data}");
        }
    }
}
