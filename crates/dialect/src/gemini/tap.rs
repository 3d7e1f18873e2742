//! The tap of a relayed stream: the vendor's events go on as they came while the ledger's facts are read.
//!
//! Constraints:
//! - Whether an event is the last one is told at its end (`finishReason` follows the content), so an event passes when it
//!   is complete: the client never has half of one.
//! - Nothing marks the end of the stream. From the event on with which every answer that was seen has its finish reason,
//!   all is withheld until the stream closes and the call is settled. If an answer goes on after all, it is let go.
//! - A client that asked for an array gets the same events as its elements. The vendor is always asked for events.
//! - What is no JSON, or no object, or has candidates that are none, never passes: it ends the stream. What else is in an
//!   event belongs to client and vendor: it is passed on and counted.
//! - At most one slice or one allocation for a frame.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::error::{UpstreamFault, WireError};
use crate::facts::StreamFacts;
use crate::gemini::Framing;
use crate::gemini::facts::Sighting;
use crate::json::{one_value, utf8};
use crate::sse::relay::{lists_objects, text, unreadable};
use crate::sse::{Event, Lines, MAX_EVENT};
use crate::tap::TapEnd;

/// What may follow the end before the vendor is called broken: an answer's last event may hold a picture.
const MAX_TERMINAL: usize = MAX_EVENT;
const BLANK_LINE: &[u8] = b"\n\n";

/// The tap of one stream.
#[derive(Debug)]
pub struct Tap {
    framing: Framing,
    max_event: usize,
    lines: Lines,
    /// The unfinished event.
    carry: Vec<u8>,
    /// What has come since every answer has its finish reason.
    terminal: BytesMut,
    /// The array has begun.
    begun: bool,
    /// It has ended.
    closed: bool,
    read: Reading,
}

/// What has been read.
#[derive(Debug, Default)]
struct Reading {
    facts: StreamFacts,
    /// The numbers of the answers that were seen, and whether each has its finish reason.
    answers: Vec<(u32, bool)>,
    failed: bool,
}

impl Tap {
    pub(crate) fn new(framing: Framing) -> Self {
        Self::with_limit(framing, MAX_EVENT)
    }

    fn with_limit(framing: Framing, max_event: usize) -> Self {
        Self {
            framing,
            max_event,
            lines: Lines::default(),
            carry: Vec::new(),
            terminal: BytesMut::new(),
            begun: false,
            closed: false,
            read: Reading::default(),
        }
    }

    /// Never complete before the stream closes: what follows a finish reason is part of the answer.
    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        let carried = self.carry.len();
        let first = self.lines.absorb(&frame);
        let bytes = if carried == 0 {
            frame
        } else {
            self.carry.extend_from_slice(&frame);
            Bytes::from(std::mem::take(&mut self.carry))
        };
        // Where the event begins, and where what has not been looked at does. A line feed that ends the last event of the
        // frame before goes with it.
        let (mut from, mut at) = (0, carried + first);
        if carried == 0 && first > 0 && !self.terminal.is_empty() {
            self.terminal.extend_from_slice(&bytes[..first]);
            from = first;
        }
        let (mut pass, mut event) = (Passing::new(from), if carried == 0 { at } else { 0 });
        while let Some(length) = self.lines.event_end(&bytes[at..]) {
            at += length;
            let block = &bytes[event..at];
            let event_read = text(block)
                .and_then(|()| Event::read(block).map_or(Ok(()), |read| self.read.event(&read.data)));
            if let Err(error) = event_read {
                let to = event.max(pass.from);
                let passed = pass.end(&bytes, to);
                out.extend(Some(self.framed(passed)).filter(|bytes| !bytes.is_empty()));
                return Err(error);
            }
            if self.read.is_over() {
                pass.stop(&bytes, event);
                self.terminal.extend_from_slice(&bytes[event..at]);
                pass.from = at;
            } else if !self.terminal.is_empty() {
                // It goes on after all.
                pass.stop(&bytes, event);
                pass.release(&bytes, &self.terminal.split());
            }
            if self.framing == Framing::Array && self.read.failed && !self.closed {
                // Here the array ends, whatever else the frame holds.
                let passed = std::mem::replace(&mut pass, Passing::new(at)).end(&bytes, at);
                out.extend(Some(self.framed(passed)).filter(|bytes| !bytes.is_empty()));
                out.extend(self.closing());
            }
            event = at;
        }
        if bytes.len() - event > self.max_event {
            return Err(WireError::TooLong { limit: self.max_event });
        }
        self.carry.extend_from_slice(&bytes[event..]);
        if self.terminal.len() > MAX_TERMINAL {
            return Err(WireError::TooLong { limit: MAX_TERMINAL });
        }
        let to = event.max(pass.from);
        let passed = pass.end(&bytes, to);
        out.extend(Some(self.framed(passed)).filter(|bytes| !bytes.is_empty()));
        Ok(None)
    }

    /// An array ends with the vendor's error: whoever relays it reads no further.
    fn closing(&mut self) -> Option<Bytes> {
        let closes = self.framing == Framing::Array && self.read.failed && !self.closed;
        self.closed |= closes;
        closes.then(|| Bytes::from_static(b"]"))
    }

    /// Bytes that pass, as the client asked for them.
    fn framed(&mut self, passed: Bytes) -> Bytes {
        match self.framing {
            Framing::Events => passed,
            Framing::Array if self.closed => Bytes::new(),
            Framing::Array => {
                let mut out = BytesMut::with_capacity(passed.len());
                let mut lines = Lines::default();
                let mut rest: &[u8] = &passed;
                while !rest.is_empty() {
                    let end = lines.event_end(rest).unwrap_or(rest.len());
                    if let Some(event) = Event::read(&rest[..end]) {
                        out.extend_from_slice(if self.begun { b",\r\n" } else { b"[" });
                        out.extend_from_slice(&event.data);
                        self.begun = true;
                    }
                    rest = &rest[end..];
                }
                out.freeze()
            }
        }
    }

    /// The end, if every answer has its finish reason.
    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        if !self.read.is_over() || self.terminal.is_empty() {
            return None;
        }
        self.read.facts.terminated = true;
        let terminal = self.terminal.split().freeze();
        let mut last = BytesMut::from(self.framed(terminal).as_ref());
        if self.framing == Framing::Array {
            last.extend_from_slice(b"]");
        }
        Some(last.freeze())
    }

    /// An event that no blank line ends may be the last one, if it can be read.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        let mut last = std::mem::take(&mut self.carry);
        let data = Event::read(&last).map(|event| event.data.into_owned());
        let half = data.as_ref().is_some_and(|data| Sighting::of(data).is_err());
        if let Some(data) = data.filter(|_| !half) {
            if self.read.event(&data).is_err() {
                return TapEnd::Cut;
            }
            // An error ends the stream by itself.
            while !self.read.failed && !last.ends_with(BLANK_LINE) {
                last.push(b'\n');
            }
            self.terminal.extend_from_slice(&last);
        }
        if self.read.failed {
            let rest = self.terminal.split().freeze();
            out.extend(Some(self.framed(rest)).filter(|bytes| !bytes.is_empty()));
            out.extend(self.closing());
            return TapEnd::VendorError;
        }
        if half || !self.read.is_over() {
            return TapEnd::Cut;
        }
        self.unfinished_terminal().map_or(TapEnd::Cut, TapEnd::Complete)
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        self.read.facts.clone()
    }

    pub(crate) fn begun(&self) -> bool {
        self.read.facts.begun
    }

    pub(crate) fn fault(&self) -> Option<&UpstreamFault> {
        self.read.facts.upstream_error.as_ref()
    }
}

/// What passes of a frame: a slice of it, unless it is in pieces or something older goes before.
struct Passing {
    slice: Range<usize>,
    ready: BytesMut,
    /// Where that begins about which nothing is decided yet.
    from: usize,
}

impl Passing {
    fn new(from: usize) -> Self {
        Self { slice: 0..0, ready: BytesMut::new(), from }
    }

    /// All up to here has passed.
    fn stop(&mut self, bytes: &Bytes, to: usize) {
        if to <= self.from {
            return;
        }
        if self.ready.is_empty() && self.slice.is_empty() {
            self.slice = self.from..to;
        } else {
            self.copy(bytes, self.from..to);
        }
        self.from = to;
    }

    fn copy(&mut self, bytes: &[u8], range: Range<usize>) {
        let slice = std::mem::take(&mut self.slice);
        self.ready.extend_from_slice(&bytes[slice]);
        self.ready.extend_from_slice(&bytes[range]);
    }

    /// What was withheld passes after all.
    fn release(&mut self, bytes: &Bytes, withheld: &[u8]) {
        self.copy(bytes, 0..0);
        self.ready.extend_from_slice(withheld);
    }

    fn end(mut self, bytes: &Bytes, to: usize) -> Bytes {
        self.stop(bytes, to);
        if self.ready.is_empty() { bytes.slice(self.slice) } else { self.ready.freeze() }
    }
}

impl Reading {
    /// Reads what an event carries. Errors: it is no JSON.
    fn event(&mut self, data: &[u8]) -> Result<(), WireError> {
        utf8(data).and_then(one_value).map_err(|fault| unreadable(&fault))?;
        let Ok(seen) = Sighting::of(data) else {
            lists_objects(data, "candidates")?;
            self.facts.begun = true;
            self.facts.unreadable_events += 1;
            return Ok(());
        };
        match seen.fault() {
            None => self.facts.begun = true,
            Some(fault) => {
                self.facts.upstream_error = Some(fault);
                self.failed = true;
            }
        }
        self.facts.id = seen.id().or_else(|| self.facts.id.take());
        self.facts.model = seen.model().or_else(|| self.facts.model.take());
        self.facts.service_tier = seen.tier().or_else(|| self.facts.service_tier.take());
        if seen.is_blocked() {
            self.answer(0, true);
        }
        for (number, candidate) in seen.candidates().enumerate() {
            let index = candidate.index.unwrap_or_else(|| u32::try_from(number).unwrap_or(u32::MAX));
            let finish = candidate.finish();
            self.answer(index, finish.is_some());
            self.facts.finish.extend(finish);
            let bytes = candidate.generated_bytes();
            self.facts.content_bytes += bytes;
            self.facts.content_events += u64::from(bytes > 0);
        }
        self.facts.finished = !self.answers.is_empty() && self.answers.iter().all(|(_, finished)| *finished);
        self.facts.tell(seen.usage());
        Ok(())
    }

    fn answer(&mut self, number: u32, finished: bool) {
        match self.answers.iter_mut().find(|(known, _)| *known == number) {
            Some((_, known)) => *known |= finished,
            None => self.answers.push((number, finished)),
        }
    }

    fn is_over(&self) -> bool {
        self.facts.finished && !self.failed
    }
}
