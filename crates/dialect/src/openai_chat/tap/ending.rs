//! The end of a relayed stream: when its terminal event is complete, and what is put in its place where a vendor
//! never sends one.

use bytes::{Bytes, BytesMut};

use crate::error::WireError;
use crate::facts::StreamFacts;
use crate::openai_chat::tap::Tap;
use crate::tap::TapEnd;

const DONE: &[u8] = b"data: [DONE]\n\n";
const BLANK_LINE: &[u8] = b"\n\n";

/// A relayed stream with its end.
#[derive(Debug)]
pub struct Relay {
    tap: Tap,
    /// The terminal event, as far as it has come.
    terminal: BytesMut,
    /// The upstream closed in the middle of an event, of which the client has a part.
    half: bool,
}

impl Relay {
    pub(crate) fn new(hide_usage: bool) -> Self {
        Self { tap: Tap::new(hide_usage), terminal: BytesMut::new(), half: false }
    }

    /// The terminal event is complete with its blank line, which may come in a piece of its own.
    pub(crate) fn push(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        self.tap.push(frame, out)?;
        let Some(more) = self.tap.take_terminal() else { return Ok(None) };
        self.terminal.extend_from_slice(&more);
        let complete = [BLANK_LINE, b"\r\n\r\n", b"\r\r"].iter().any(|end| self.terminal.ends_with(end));
        Ok(complete.then(|| self.terminal.split().freeze()))
    }

    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        (!self.terminal.is_empty()).then(|| {
            self.terminal.extend_from_slice(BLANK_LINE);
            self.terminal.split().freeze()
        })
    }

    /// Some servers never send `[DONE]`: a stream in which every choice has its finish reason is complete all the
    /// same.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) -> TapEnd {
        if let Some(terminal) = self.unfinished_terminal() {
            return TapEnd::Complete(terminal);
        }
        let before = out.len();
        self.half = self.tap.mid_event();
        self.tap.finish(out);
        self.half |= out.len() > before;
        let facts = self.tap.facts();
        if facts.upstream_error.is_some() {
            TapEnd::VendorError
        } else if facts.finished && self.half {
            TapEnd::Complete([BLANK_LINE, DONE].concat().into())
        } else if facts.finished {
            TapEnd::Complete(Bytes::from_static(DONE))
        } else {
            TapEnd::Cut
        }
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        self.tap.facts()
    }

    pub(crate) fn mid_event(&self) -> bool {
        self.half || self.tap.mid_event()
    }
}
