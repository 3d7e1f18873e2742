//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read.
//!
//! Constraints:
//! - Every byte before the terminal event (`data: [DONE]`) may go to the client as soon as it has come, also half
//!   an event; only bytes that could be the beginning of the terminal event wait. The terminal event and all that
//!   follows are withheld until the call is settled.
//! - What cannot be read is passed on and counted, never an error: the stream belongs to client and vendor.
//! - One event costs a few searches for bytes. JSON is read of the first event, of those that finish a choice or
//!   hold usage, and of those that look unlike any vendor's.
//! - At most one allocation for a frame.
//!
//! With `hide_usage` the client must see what it would have seen had we not asked for usage. We caused two
//! things: the extra chunk with usage and without choices, which is dropped, and the member `"usage":null` on the
//! other chunks, which is cut out. Usage inside a chunk that has choices was the vendor's own idea and stays.
//! (A vendor that sends the extra chunk to everybody cannot be told apart; its clients lose it.) An event must be
//! complete to be judged, so in this mode half an event waits.

mod ending;
mod passing;
mod reading;

pub use ending::Relay;

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::openai_chat::tap::passing::Passing;
use crate::openai_chat::tap::reading::{Marks, Reading};
use crate::sse::{Event, Lines, MAX_EVENT, lines};

/// What may follow the terminal event before the vendor is called broken.
const MAX_TERMINAL: usize = 64 << 10;

/// The tap of one stream.
#[derive(Debug)]
pub struct Tap {
    hide_usage: bool,
    max_event: usize,
    lines: Lines,
    /// The unfinished event.
    carry: Vec<u8>,
    /// How much of `carry` the client has.
    passed: usize,
    /// The unfinished event is too long to carry and goes on unread.
    blind: bool,
    /// The last event was dropped; a line feed that still belongs to it goes with it.
    dropped: bool,
    terminal: BytesMut,
    marks: Marks,
    read: Reading,
}

/// What becomes of a complete event.
enum Verdict {
    Pass,
    Drop,
    /// Pass without these bytes.
    Cut(Range<usize>),
}

/// Whether an event, or its beginning, is the terminal one. `from` is where its line begins.
enum Terminal {
    No,
    Unknown { from: usize },
    Yes { from: usize },
}

impl Tap {
    /// A tap. `hide_usage` undoes in the answer what [`relay_body`](crate::relay_body) injected into the request.
    pub fn new(hide_usage: bool) -> Self {
        Self::with_limit(hide_usage, MAX_EVENT)
    }

    fn with_limit(hide_usage: bool, max_event: usize) -> Self {
        Self {
            hide_usage,
            max_event,
            lines: Lines::default(),
            carry: Vec::new(),
            passed: 0,
            blind: false,
            dropped: false,
            terminal: BytesMut::new(),
            marks: Marks::default(),
            read: Reading::default(),
        }
    }

    /// Takes the vendor's next frame and adds to `out` what may go to the client now; at most one slice.
    ///
    /// [`WireError::TooLong`] if the vendor goes on and on after its terminal event.
    #[expect(clippy::needless_pass_by_value, reason = "a frame is handed on, not looked at")]
    pub fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<(), WireError> {
        if self.read.facts.terminated {
            return self.withhold(&frame);
        }
        let mut passing = Passing::new(&frame);
        let mut at = self.lines.absorb(&frame);
        if at > 0 {
            self.absorbed(&frame[..at], &mut passing);
        }
        while let Some(length) = self.lines.event_end(&frame[at..]) {
            let event = at..at + length;
            at = event.end;
            if let Some(terminal) = self.complete(&frame, event, &mut passing) {
                out.extend(passing.done());
                return self.withhold(&frame[terminal..]);
            }
        }
        let terminal = self.partial(&frame, at, &mut passing);
        out.extend(passing.done());
        terminal.map_or(Ok(()), |terminal| self.withhold(&frame[terminal..]))
    }

    /// The terminal event and all that followed it, to be sent when the call is settled. None before it has
    /// come, and once it is taken.
    pub fn take_terminal(&mut self) -> Option<Bytes> {
        (!self.terminal.is_empty()).then(|| self.terminal.split().freeze())
    }

    /// The facts so far.
    pub fn facts(&self) -> StreamFacts {
        self.read.facts()
    }

    /// Whether the client has half an event. A frame of our own must then begin with a blank line.
    pub fn mid_event(&self) -> bool {
        self.blind || self.passed > 0
    }

    /// The vendor closed the stream: reads an event that no blank line ended, and adds to `out` what still waits
    /// of it. A stream that ends so without a terminal event is cut.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        let block = std::mem::take(&mut self.carry);
        let held = std::mem::take(&mut self.passed)..block.len();
        if self.read.facts.terminated || block.is_empty() {
            return;
        }
        match self.judge(&block) {
            Verdict::Drop => {}
            Verdict::Pass if held.is_empty() => {}
            Verdict::Pass => out.push(Bytes::copy_from_slice(&block[held])),
            Verdict::Cut(cut) => {
                out.push(Bytes::from([&block[..cut.start], &block[cut.end..]].concat()));
            }
        }
    }

    /// The rest of a line end whose event is over.
    fn absorbed(&mut self, end: &[u8], passing: &mut Passing<'_>) {
        if self.dropped {
            passing.skip_to(end.len());
        } else if !self.carry.is_empty() {
            // A line end inside an event: it goes with the event.
            self.carry.extend_from_slice(end);
            if self.hide_usage && !self.blind {
                passing.skip_to(end.len());
            } else {
                self.passed = self.carry.len();
            }
        }
    }

    /// An event ends in this frame. Returns where in the frame the terminal event begins, if it is one.
    fn complete(&mut self, frame: &Bytes, event: Range<usize>, passing: &mut Passing<'_>) -> Option<usize> {
        self.dropped = false;
        if std::mem::take(&mut self.blind) {
            return None;
        }
        if self.carry.is_empty() {
            let block = &frame[event.clone()];
            if let Terminal::Yes { from } = terminal(block) {
                self.read.facts.terminated = true;
                passing.end_at(event.start + from);
                return Some(event.start + from);
            }
            match self.judge(block) {
                Verdict::Pass => {}
                Verdict::Drop => {
                    self.dropped = true;
                    passing.skip(event);
                }
                Verdict::Cut(cut) => passing.skip(event.start + cut.start..event.start + cut.end),
            }
            return None;
        }
        let passed = std::mem::take(&mut self.passed);
        let mut block = std::mem::take(&mut self.carry);
        let known = block.len();
        block.extend_from_slice(&frame[event.clone()]);
        let verdict = match terminal(&block) {
            Terminal::Yes { from } => {
                self.read.facts.terminated = true;
                self.withhold_known(&block, known, from, passed, event.start, passing);
                block.clear();
                self.carry = block;
                return Some(event.start + from.saturating_sub(known));
            }
            Terminal::No | Terminal::Unknown { .. } => self.judge(&block),
        };
        match verdict {
            Verdict::Pass => passing.insert(event.start, &block[passed..known]),
            Verdict::Drop => {
                self.dropped = true;
                passing.skip(event);
            }
            Verdict::Cut(cut) => {
                passing.insert(event.start, &block[..cut.start]);
                passing.insert(event.start, &block[cut.end..]);
                passing.skip(event);
            }
        }
        block.clear();
        self.carry = block;
        None
    }

    /// The terminal event began in an earlier frame, or its event did: passes what stands before it and withholds
    /// what was held of it.
    fn withhold_known(
        &mut self,
        block: &[u8],
        known: usize,
        from: usize,
        passed: usize,
        frame_at: usize,
        passing: &mut Passing<'_>,
    ) {
        if from > passed {
            passing.insert(frame_at, &block[passed..from.min(known)]);
        }
        self.terminal.extend_from_slice(&block[from.min(known)..known]);
        passing.end_at(frame_at + from.saturating_sub(known));
    }

    /// An event begins or goes on in this frame from `at` and does not end in it. Returns where in the frame the
    /// terminal event begins, if it is one.
    fn partial(&mut self, frame: &Bytes, at: usize, passing: &mut Passing<'_>) -> Option<usize> {
        if self.blind || at == frame.len() {
            return None;
        }
        self.dropped = false;
        let known = self.carry.len();
        if known + frame.len() - at > self.max_event {
            self.read.facts.unreadable_events += 1;
            passing.insert(at, &self.carry[self.passed..]);
            self.carry.clear();
            self.passed = 0;
            self.blind = true;
            return None;
        }
        self.carry.extend_from_slice(&frame[at..]);
        let hold_from = match terminal(&self.carry) {
            Terminal::Yes { from } => {
                self.read.facts.terminated = true;
                let block = std::mem::take(&mut self.carry);
                let passed = std::mem::take(&mut self.passed);
                self.withhold_known(&block, known, from, passed, at, passing);
                return Some(at + from.saturating_sub(known));
            }
            _ if self.hide_usage => 0,
            Terminal::Unknown { from } => from,
            Terminal::No => self.carry.len(),
        };
        if hold_from > self.passed {
            let early = self.passed.min(known)..hold_from.min(known);
            passing.insert(at, &self.carry[early]);
        }
        self.passed = self.passed.max(hold_from);
        passing.end_at(at + hold_from.saturating_sub(known));
        None
    }

    fn withhold(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.terminal.len() + bytes.len() > MAX_TERMINAL {
            return Err(WireError::TooLong { limit: MAX_TERMINAL });
        }
        self.terminal.extend_from_slice(bytes);
        Ok(())
    }

    /// Reads a complete event and says what becomes of it.
    fn judge(&mut self, block: &[u8]) -> Verdict {
        // Nearly every event is one line that begins so; the marks are then searched in the block itself.
        let single = block.strip_prefix(b"data: ").or_else(|| block.strip_prefix(b"data:"));
        let single =
            single.map(<[u8]>::trim_ascii_end).filter(|data| memchr::memchr2(b'\n', b'\r', data).is_none());
        if let Some(data) = single {
            let mark = self.marks.usage(data);
            let null_usage = mark.and_then(|mark| null_usage(data, mark));
            let silent = mark.is_none() || null_usage.is_some();
            if silent && self.marks.glance(data, &mut self.read) {
                return self.cut(block, data, null_usage);
            }
            if self.read.event(data) && self.hide_usage {
                return Verdict::Drop;
            }
            return self.cut(block, data, null_usage);
        }
        let Some(event) = Event::read(block) else { return Verdict::Pass };
        if self.read.event(&event.data) && self.hide_usage { Verdict::Drop } else { Verdict::Pass }
    }

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

/// Whether a block is the terminal event. The first data line decides.
fn terminal(block: &[u8]) -> Terminal {
    const WITH_SPACE: &[u8] = b"data: [DONE]";
    const WITHOUT: &[u8] = b"data:[DONE]";
    // Nearly every event begins with JSON.
    if block.starts_with(b"data: {") || block.starts_with(b"data:{") {
        return Terminal::No;
    }
    for line in lines(block) {
        let from = line.as_ptr().addr() - block.as_ptr().addr();
        if line.starts_with(WITH_SPACE) || line.starts_with(WITHOUT) {
            return Terminal::Yes { from };
        }
        let last = from + line.len() == block.len();
        if last && (WITH_SPACE.starts_with(line) || WITHOUT.starts_with(line)) {
            return Terminal::Unknown { from };
        }
        if line.starts_with(b"data:") {
            return Terminal::No;
        }
    }
    Terminal::Unknown { from: block.len() }
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
    fn an_event_too_long_to_carry_goes_on_unread() {
        for hide_usage in [false, true] {
            let mut tap = Tap::with_limit(hide_usage, 16);
            let mut out = Vec::new();
            for frame in ["data: {\"a\":", "\"0123456789\"", "}\n", "\ndata: [DO", "NE]\n\n"] {
                tap.push(Bytes::from_static(frame.as_bytes()), &mut out).unwrap();
            }
            assert_eq!(out.concat(), b"data: {\"a\":\"0123456789\"}\n\n");
            assert_eq!(tap.take_terminal().as_deref(), Some(b"data: [DONE]\n\n".as_slice()));
            assert_eq!(tap.facts().unreadable_events, 1);
        }
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
