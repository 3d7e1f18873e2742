//! The tap of a relayed stream: whole frames go on as they came while the ledger's facts are read.
//!
//! Constraints:
//! - A frame passes when it is complete and both its checksums have held. No client can use half a frame, because the
//!   last checksum is at its end; so waiting costs nobody anything, the client never has half of one, and an exception
//!   of our own can follow at any time.
//! - The frames of `InvokeModelWithResponseStream` are read along too: the two streams have no event in common.
//! - `messageStop` and all that follows are withheld until the call is settled: clients take a stream that ends after
//!   it for complete. The stream is complete with `metadata`, which comes after it and has the usage; without that, if
//!   the upstream closes.
//! - An event of the wire must hold one JSON object, and a chunk another one: the official SDKs die on what is none, so it
//!   ends the stream. What is in them is passed on and counted, never an error.
//! - An upstream that closes in the middle of a frame has cut the stream, also after `messageStop`.
//! - JSON is taken apart in the last two frames and in failures; the others are looked through, and a few bytes searched
//!   for.
//! - At most one allocation for a chunk.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::anthropic::tap::Reading;
use crate::bedrock::{Sort, facts, usage};
use crate::bedrock_invoke::stream::{CHUNK, read_chunk};
use crate::chat::FinishReason;
use crate::error::{UpstreamFault, WireError};
use crate::event_stream::{Frame, MAX_FRAME, take};
use crate::facts::StreamFacts;
use crate::json::{one_value, utf8};
use crate::openai_chat::facts::text_bytes;
use crate::sse::relay::{is_object, unreadable};
use crate::tap::TapEnd;

/// What clients read.
const EVENTS: [&str; 7] = [
    "contentBlockDelta",
    CHUNK,
    "messageStart",
    "contentBlockStart",
    "contentBlockStop",
    "messageStop",
    "metadata",
];
/// What may follow the end before the vendor is called broken.
const MAX_AFTER_END: usize = 64 << 10;

/// The tap of one stream.
#[derive(Debug, Default)]
pub struct Tap {
    /// The unfinished frame.
    carry: Vec<u8>,
    state: State,
    /// `messageStop` and what followed.
    terminal: BytesMut,
    after_end: usize,
    intervened: bool,
    metadata: bool,
    facts: StreamFacts,
    /// What the chunks of `InvokeModelWithResponseStream` said; Converse has none.
    chunks: Option<Box<Reading>>,
}

/// How far the stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    /// `messageStop` has come.
    Stopped,
    /// The metadata, too.
    Complete,
    /// The vendor has reported an error.
    Failed,
}

impl Tap {
    /// Errors: a frame that is none or too long, after what stood before it has been passed; a vendor that goes on and
    /// on after its end.
    pub(crate) fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        if self.state == State::Complete {
            return self.follow(chunk.len()).map(|()| None);
        }
        if self.carry.is_empty() {
            return self.frames(chunk, out);
        }
        self.carry.extend_from_slice(chunk);
        if take(&self.carry, MAX_FRAME)?.is_none() {
            return Ok(None);
        }
        let bytes = Bytes::from(std::mem::take(&mut self.carry));
        self.frames(&bytes, out)
    }

    /// Takes the frames at the start of `bytes`, passes or withholds them, and carries the rest.
    fn frames(&mut self, bytes: &Bytes, out: &mut Vec<Bytes>) -> Result<Option<Bytes>, WireError> {
        let (mut at, mut from, mut to) = (0, 0, 0);
        let end = loop {
            let (frame, length) = match take(&bytes[at..], MAX_FRAME) {
                Ok(Some(found)) => found,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            if let Err(error) = self.read(&frame) {
                break Err(error);
            }
            let start = at;
            at += length;
            match self.state {
                State::Stopped | State::Complete => self.terminal.extend_from_slice(&bytes[start..at]),
                State::Open | State::Failed => {
                    // A failure after the end: the client must see it, and what was withheld stands before it.
                    if !self.terminal.is_empty() {
                        out.extend((to > from).then(|| bytes.slice(from..to)));
                        out.push(self.terminal.split().freeze());
                        from = start;
                    }
                    to = at;
                }
            }
            if self.state == State::Complete {
                break Ok(());
            }
        };
        out.extend((to > from).then(|| bytes.slice(from..to)));
        end?;
        if self.state == State::Complete {
            self.follow(bytes.len() - at)?;
            return Ok(Some(self.terminal.split().freeze()));
        }
        self.carry.extend_from_slice(&bytes[at..]);
        if self.terminal.len() > MAX_FRAME {
            return Err(WireError::TooLong { limit: MAX_FRAME });
        }
        Ok(None)
    }

    /// Bytes after the end, which nobody gets.
    fn follow(&mut self, more: usize) -> Result<(), WireError> {
        self.after_end += more;
        if self.after_end > MAX_AFTER_END {
            return Err(WireError::TooLong { limit: MAX_AFTER_END });
        }
        Ok(())
    }

    pub(crate) fn unfinished_terminal(&mut self) -> Option<Bytes> {
        (self.state == State::Stopped && self.carry.is_empty()).then(|| {
            self.state = State::Complete;
            self.terminal.split().freeze()
        })
    }

    /// Half a frame that is left over is lost: nobody could have read it. Without `metadata` a stream is complete all the
    /// same: `messageStop` ends the message, and the figures are then counted.
    pub(crate) fn finish(&mut self, _out: &mut Vec<Bytes>) -> TapEnd {
        match self.state {
            State::Failed => TapEnd::VendorError,
            State::Open => TapEnd::Cut,
            State::Stopped if !self.carry.is_empty() => TapEnd::Cut,
            State::Stopped | State::Complete => TapEnd::Complete(self.terminal.split().freeze()),
        }
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        let Some(chunks) = &self.chunks else { return self.facts.clone() };
        let said = chunks.facts.clone();
        StreamFacts {
            terminated: chunks.stopped,
            upstream_error: self.facts.upstream_error.clone().or(said.upstream_error),
            unreadable_events: self.facts.unreadable_events + said.unreadable_events,
            ..said
        }
    }

    pub(crate) fn begun(&self) -> bool {
        self.facts.begun
    }

    pub(crate) fn fault(&self) -> Option<&UpstreamFault> {
        let said = self.chunks.as_ref().and_then(|chunks| chunks.facts.upstream_error.as_ref());
        self.facts.upstream_error.as_ref().or(said)
    }

    fn read(&mut self, frame: &Frame<'_>) -> Result<(), WireError> {
        let sort = Sort::of(frame);
        if let Sort::Event(kind) = sort
            && EVENTS.contains(&kind)
        {
            utf8(frame.payload).and_then(one_value).map_err(|fault| unreadable(&fault))?;
            is_object(frame.payload)?;
        }
        // A chunk may be a sign of life alone.
        self.facts.begun |= matches!(sort, Sort::Event(kind) if kind != CHUNK);
        match sort {
            Sort::Event("contentBlockStart" | "contentBlockDelta") => {
                // The words of a source are not the model's.
                if !cites(frame.payload) {
                    let (bytes, _) = text_bytes(frame.payload);
                    self.facts.content_bytes += bytes;
                    self.facts.content_events += u64::from(bytes > 0);
                }
            }
            Sort::Event("messageStop") => self.stop(frame.payload),
            Sort::Event("metadata") => self.metadata(frame.payload),
            Sort::Event(CHUNK) => self.chunk(frame.payload)?,
            Sort::Event(_) => {}
            Sort::Fault(fault) => {
                self.facts.upstream_error = Some(fault);
                self.state = State::Failed;
            }
            Sort::Unknown => self.facts.unreadable_events += 1,
        }
        Ok(())
    }

    fn stop(&mut self, payload: &[u8]) {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Stop {
            stop_reason: Option<String>,
        }
        match serde_json::from_slice::<Stop>(payload) {
            Ok(stop) => {
                let finish = stop.stop_reason.as_deref().map(FinishReason::from_bedrock);
                self.intervened = finish == Some(FinishReason::Guardrail);
                self.facts.finish = finish.into_iter().collect();
            }
            Err(_) => self.facts.unreadable_events += 1,
        }
        self.facts.finished = true;
        self.facts.terminated = true;
        self.advance(if self.metadata { State::Complete } else { State::Stopped });
    }

    fn metadata(&mut self, payload: &[u8]) {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Metadata<'a> {
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
            #[serde(borrow)]
            service_tier: Option<&'a RawValue>,
            #[serde(borrow)]
            performance_config: Option<&'a RawValue>,
        }
        self.metadata = true;
        match serde_json::from_slice::<Metadata<'_>>(payload) {
            Ok(read) => {
                let usage = read.usage.and_then(|raw| usage::decode(raw.get(), self.intervened));
                self.facts.tell(usage);
                self.facts.service_tier = facts::tier(read.service_tier, read.performance_config);
            }
            Err(_) => self.facts.unreadable_events += 1,
        }
        if self.state == State::Stopped {
            self.advance(State::Complete);
        }
    }

    /// One of Anthropic's events. The last of them is the end.
    fn chunk(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let event = read_chunk(payload)?;
        let chunks = self.chunks.get_or_insert_default();
        chunks.data(&event)?;
        self.facts.begun |= chunks.facts.begun;
        if chunks.facts.upstream_error.is_some() {
            self.state = State::Failed;
        } else if chunks.stopped {
            self.advance(State::Complete);
        }
        Ok(())
    }

    /// A stream that has failed stays so.
    fn advance(&mut self, state: State) {
        if self.state != State::Failed {
            self.state = state;
        }
    }
}

/// Whether a delta holds a source.
fn cites(payload: &[u8]) -> bool {
    const NAME: &[u8] = b"\"citation\"";
    memmem::find(payload, NAME).is_some_and(|at| {
        let value = payload[at + NAME.len()..].trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}
