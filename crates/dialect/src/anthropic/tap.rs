//! The tap of a relayed stream: the vendor's bytes go on untouched while the ledger's facts are read.
//!
//! Constraints:
//! - Every byte before the terminal event (`message_stop`) may go to the client as soon as it has come, also half an
//!   event; only bytes that could be the beginning of the terminal event wait. The terminal event and all that
//!   follows are withheld until the call is settled. Nothing is hidden: every stream of this wire reports usage.
//! - What cannot be read is passed on and counted, never an error: the stream belongs to client and vendor.
//! - One event costs a few searches for bytes. JSON is read of the events that begin a message or a block, hold
//!   usage, or look unlike any vendor's.
//! - At most one allocation for a frame.

mod reading;

use bytes::{Bytes, BytesMut};

pub(crate) use crate::anthropic::tap::reading::Reading;
use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::sse::{Lines, MAX_EVENT, lines};
use crate::tap::TapEnd;

/// What may follow the terminal event before the vendor is called broken.
const MAX_TERMINAL: usize = 64 << 10;
const BLANK_LINE: &[u8] = b"\n\n";

/// The tap of one stream.
#[derive(Debug)]
pub struct Tap {
    max_event: usize,
    lines: Lines,
    /// The unfinished event.
    carry: Vec<u8>,
    /// The end of `carry` that the client does not have yet.
    held: usize,
    /// The unfinished event is too long to carry and goes on unread.
    blind: bool,
    /// The terminal event has begun.
    ending: bool,
    terminal: BytesMut,
    read: Reading,
}

/// Whether an event, or its beginning, is the terminal one. `from` is where its line begins.
#[derive(Debug, PartialEq, Eq)]
enum Terminal {
    No,
    Unknown { from: usize },
    Yes { from: usize },
}

impl Tap {
    pub(crate) fn new() -> Self {
        Self::with_limit(MAX_EVENT)
    }

    fn with_limit(max_event: usize) -> Self {
        Self {
            max_event,
            lines: Lines::default(),
            carry: Vec::new(),
            held: 0,
            blind: false,
            ending: false,
            terminal: BytesMut::new(),
            read: Reading::default(),
        }
    }

    /// The terminal event is complete with its blank line, which may come in a piece of its own.
    #[expect(clippy::needless_pass_by_value, reason = "a frame is handed on, not looked at")]
    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        if self.ending {
            self.withhold(&frame)?;
            return Ok(self.complete_terminal());
        }
        if frame.is_empty() {
            return Ok(None);
        }
        let held = self.carry[self.carry.len() - self.held..].to_vec();
        let keep = self.scan(&frame);
        let kept_of_frame = keep.min(frame.len());
        let passes = held.len() + frame.len() - keep;
        if passes > 0 {
            out.push(if held.is_empty() {
                frame.slice(..passes)
            } else {
                let mut bytes = BytesMut::with_capacity(passes);
                bytes.extend_from_slice(&held[..passes.min(held.len())]);
                bytes.extend_from_slice(&frame[..passes.saturating_sub(held.len())]);
                bytes.freeze()
            });
        }
        if !self.ending {
            self.held = keep;
            return Ok(None);
        }
        self.carry.clear();
        self.held = 0;
        self.withhold(&held[passes.min(held.len())..])?;
        self.withhold(&frame[frame.len() - kept_of_frame..])?;
        Ok(self.complete_terminal())
    }

    /// Reads a frame and says how many bytes at the end of what the client does not have must not go to it.
    fn scan(&mut self, frame: &[u8]) -> usize {
        let mut at = self.lines.absorb(frame);
        if at > 0 && !self.carry.is_empty() {
            self.carry.extend_from_slice(&frame[..at]);
        }
        while let Some(length) = self.lines.event_end(&frame[at..]) {
            let event = &frame[at..at + length];
            at += length;
            if std::mem::take(&mut self.blind) {
                continue;
            }
            let mut carry = std::mem::take(&mut self.carry);
            let block = if carry.is_empty() {
                event
            } else {
                carry.extend_from_slice(event);
                carry.as_slice()
            };
            if let Terminal::Yes { from } = terminal(block) {
                self.ending = true;
                return block.len() - from + frame.len() - at;
            }
            self.read.block(block);
            carry.clear();
            self.carry = carry;
        }
        if self.blind {
            return 0;
        }
        if self.carry.len() + frame.len() - at > self.max_event {
            self.read.facts.unreadable_events += 1;
            self.carry.clear();
            self.blind = true;
            return 0;
        }
        self.carry.extend_from_slice(&frame[at..]);
        if self.carry.is_empty() {
            return 0;
        }
        match terminal(&self.carry) {
            Terminal::No => 0,
            Terminal::Unknown { from } => self.carry.len() - from,
            Terminal::Yes { from } => {
                self.ending = true;
                self.carry.len() - from
            }
        }
    }

    fn withhold(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        if self.terminal.len() + bytes.len() > MAX_TERMINAL {
            return Err(WireError::TooLong { limit: MAX_TERMINAL });
        }
        self.terminal.extend_from_slice(bytes);
        Ok(())
    }

    fn complete_terminal(&mut self) -> Option<Bytes> {
        let end = Lines::default().event_end(&self.terminal)?;
        // The line feed of its last line end may be on its way.
        let half = end == self.terminal.len() && self.terminal.ends_with(b"\n\r");
        self.read.facts.terminated |= !half;
        (!half).then(|| self.terminal.split().freeze())
    }

    /// The terminal event as far as it has come, if its data line has begun: its name alone ends no stream.
    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        let whole = lines(&self.terminal).any(|line| line.starts_with(b"data:") && line.ends_with(b"}"));
        self.read.facts.terminated |= whole;
        whole.then(|| {
            self.terminal.extend_from_slice(BLANK_LINE);
            self.terminal.split().freeze()
        })
    }

    /// Without the terminal event a stream is cut, whatever came before.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        if let Some(terminal) = self.unfinished_terminal() {
            return TapEnd::Complete(terminal);
        }
        // The vendor may end its last event without a blank line.
        let block = self.carry.clone();
        if !block.is_empty() && !self.blind {
            self.read.block(&block);
        }
        if self.held > 0 {
            out.push(Bytes::copy_from_slice(&block[block.len() - std::mem::take(&mut self.held)..]));
        }
        if self.read.facts.upstream_error.is_some() {
            TapEnd::VendorError
        } else if self.read.stopped {
            // Its terminal event looked like no other's and has gone to the client already.
            TapEnd::Complete(Bytes::new())
        } else {
            TapEnd::Cut
        }
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        self.read.facts.clone()
    }

    pub(crate) fn mid_event(&self) -> bool {
        self.blind || self.carry.len() > self.held
    }
}

/// Whether a block is the terminal event. The first line that is its name or its data decides.
fn terminal(block: &[u8]) -> Terminal {
    const STARTS: [&[u8]; 6] = [
        b"event: message_stop",
        b"event:message_stop",
        b"data: {\"type\":\"message_stop\"",
        b"data: {\"type\": \"message_stop\"",
        b"data:{\"type\":\"message_stop\"",
        b"data:{\"type\": \"message_stop\"",
    ];
    // Nearly every event begins so.
    if block.starts_with(b"event: content_block_delta") {
        return Terminal::No;
    }
    for line in lines(block) {
        let from = line.as_ptr().addr() - block.as_ptr().addr();
        if STARTS.iter().any(|start| line.starts_with(start)) {
            return Terminal::Yes { from };
        }
        let last = from + line.len() == block.len();
        if last && STARTS.iter().any(|start| start.starts_with(line)) {
            return Terminal::Unknown { from };
        }
        if line.starts_with(b"event:") || line.starts_with(b"data:") {
            return Terminal::No;
        }
    }
    Terminal::Unknown { from: block.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_event_is_known_by_its_first_bytes() {
        for (block, expected) in [
            ("event: content_block_stop\n", Terminal::No),
            ("event: message_delta\ndata: {\"type\":\"message_delta\"}", Terminal::No),
            ("event: mess", Terminal::Unknown { from: 0 }),
            ("event: message_st", Terminal::Unknown { from: 0 }),
            ("event: message_start", Terminal::No),
            ("event: message_stop", Terminal::Yes { from: 0 }),
            (": hi\nid: 7\nevent:message_stop\n", Terminal::Yes { from: 11 }),
            (": hi\n", Terminal::Unknown { from: 5 }),
            ("data: {\"type\":\"message_stop\"}", Terminal::Yes { from: 0 }),
            ("data: {\"type\":\"ping\"}", Terminal::No),
        ] {
            assert_eq!(terminal(block.as_bytes()), expected, "{block}");
        }
    }

    #[test]
    fn an_event_too_long_to_carry_goes_on_unread() {
        let mut tap = Tap::with_limit(24);
        let mut out = Vec::new();
        let mut end = None;
        for frame in ["data: {\"a\":", "\"0123456789\"", "}   \n", "\nevent: message_sto", "p\ndata: {}\n\n"]
        {
            assert_eq!(end, None);
            end = tap.push(Bytes::from_static(frame.as_bytes()), &mut out).unwrap();
        }
        assert_eq!(out.concat(), b"data: {\"a\":\"0123456789\"}   \n\n");
        assert_eq!(end.as_deref(), Some(b"event: message_stop\ndata: {}\n\n".as_slice()));
        assert_eq!(tap.facts().unreadable_events, 1);
    }

    #[test]
    fn a_name_alone_ends_no_stream() {
        let mut tap = Tap::new();
        let mut out = Vec::new();
        assert_eq!(
            tap.push(Bytes::from_static(b"event: message_stop\ndata: {\"ty"), &mut out).unwrap(),
            None
        );
        assert_eq!(tap.unfinished_terminal(), None);
        assert_eq!(tap.push(Bytes::from_static(b"pe\":\"message_stop\"}"), &mut out).unwrap(), None);
        let whole = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".as_slice();
        assert_eq!(tap.unfinished_terminal().as_deref(), Some(whole));
        assert!(out.is_empty());
    }
}
