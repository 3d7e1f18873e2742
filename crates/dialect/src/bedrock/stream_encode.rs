//! Canonical events into a client's stream.
//!
//! What clients rely on (user guide, `ConverseStream`; the SDKs): one block at a time, numbered from 0; a start event
//! for tool calls only; `messageStop` before `metadata`, which alone has the usage; a call without arguments still adds
//! up to JSON. Other wires let calls run side by side: what does not belong to the open call waits until it is over.

use bytes::BytesMut;
use steelyard_core::Usage;

use crate::anthropic::citation::of_annotations;
use crate::bedrock::content::{encode_citation, picture_format};
use crate::bedrock::reply::{write_metrics, write_stop_sequence, write_tier, write_usage};
use crate::chat::{Citation, FinishReason};
use crate::dialect::Dialect;
use crate::event::StreamEvent;
use crate::event_stream;
use crate::gemini::content::picture;
use crate::json::Object;

/// The only choice of this wire.
const CHOICE: u32 = 0;

/// What stands around a free text, as in a whole answer.
const FREE_TEXT_HEAD: &str = r#"{"input":""#;
const FREE_TEXT_TAIL: &str = r#""}"#;

/// Writes one stream.
#[derive(Debug, Default)]
pub struct Encoder {
    started: bool,
    /// The number of the next block.
    next: u64,
    open: Option<Open>,
    /// Events that wait until the open call is over.
    waiting: Vec<StreamEvent>,
    /// The call that the last event belonged to.
    last: Option<u32>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    service_tier: Option<String>,
    payload: Vec<u8>,
}

/// The open block, with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Text(u64),
    Reasoning(u64),
    /// `empty`: nothing has been written of its arguments. `custom`: its input is free text, which goes into an object.
    Call {
        index: u64,
        call: u32,
        empty: bool,
        custom: bool,
    },
}

impl Open {
    fn index(self) -> u64 {
        match self {
            Self::Text(index) | Self::Reasoning(index) | Self::Call { index, .. } => index,
        }
    }
}

impl Encoder {
    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match event {
            StreamEvent::Start { service_tier, .. } => {
                self.service_tier.clone_from(service_tier);
                self.start(out);
            }
            StreamEvent::Usage(used) => self.usage = Some(*used),
            StreamEvent::ServiceTier(tier) => self.service_tier = Some(tier.clone()),
            StreamEvent::Geo(_) => {}
            StreamEvent::Finish { choice: CHOICE, reason } => {
                self.drain(out);
                self.finish = Some(reason.clone());
            }
            event => {
                self.start(out);
                if self.must_wait(event) {
                    self.waiting.push(event.clone());
                } else {
                    self.write(event, out);
                }
                self.last = call_of(event)
                    .or_else(|| self.last.filter(|_| matches!(event, StreamEvent::PartEnd { .. })));
            }
        }
    }

    /// What does not belong to the open call waits; so does all that follows what waits already.
    fn must_wait(&self, event: &StreamEvent) -> bool {
        let Some(Open::Call { call: open, .. }) = self.open else { return false };
        match event {
            StreamEvent::PartEnd { .. } => self.last != Some(open),
            StreamEvent::ToolCallArguments { call, .. } => *call != open,
            _ => true,
        }
    }

    /// Writes what waits, call by call.
    fn drain(&mut self, out: &mut BytesMut) {
        loop {
            self.close(out);
            let waiting = std::mem::take(&mut self.waiting);
            if waiting.is_empty() {
                return;
            }
            self.last = None;
            for event in waiting {
                self.push(&event, out);
            }
        }
    }

    /// Writes an event whose turn it is.
    fn write(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match event {
            // A refusal is said like anything else; the reason for stopping tells what it is.
            StreamEvent::Text { choice: CHOICE, text } | StreamEvent::Refusal { choice: CHOICE, text }
                if !text.is_empty() =>
            {
                let index = self.text(out);
                self.delta(index, out, |delta| delta.field("text", text));
            }
            StreamEvent::Citation { choice: CHOICE, citation } => self.citation(citation, out),
            StreamEvent::Annotations { choice: CHOICE, annotations } => {
                for citation in of_annotations(annotations) {
                    self.citation(&citation, out);
                }
            }
            StreamEvent::Reasoning { choice: CHOICE, text } if !text.is_empty() => {
                let index = self.reasoning(out);
                self.reasoning_delta(index, "text", text, out);
            }
            StreamEvent::ReasoningSignature { choice: CHOICE, signature } => {
                let index = self.reasoning(out);
                self.reasoning_delta(index, "signature", signature, out);
                self.close(out);
            }
            StreamEvent::RedactedReasoning { choice: CHOICE, data } => {
                self.close(out);
                let index = self.reasoning(out);
                self.reasoning_delta(index, "redactedContent", data, out);
                self.close(out);
            }
            StreamEvent::Image { choice: CHOICE, media_type, data } => self.image(media_type, data, out),
            StreamEvent::Foreign { choice: CHOICE, dialect: Dialect::GeminiGenerate, block, .. } => {
                if let Some((media_type, data)) = picture(block) {
                    self.image(&media_type, &data, out);
                }
            }
            StreamEvent::ToolCallStart { choice: CHOICE, call, id, name, custom } => {
                self.call(*call, id, name, *custom, out);
            }
            StreamEvent::ToolCallArguments { choice: CHOICE, call, text } => {
                self.arguments(*call, text, out);
            }
            StreamEvent::PartEnd { choice: CHOICE } => {
                let called = matches!(self.open, Some(Open::Call { .. }));
                self.close(out);
                if called {
                    self.drain(out);
                }
            }
            // No word for them here, or no such choice.
            StreamEvent::Start { .. }
            | StreamEvent::Text { .. }
            | StreamEvent::Reasoning { .. }
            | StreamEvent::ReasoningSignature { .. }
            | StreamEvent::RedactedReasoning { .. }
            | StreamEvent::Citation { .. }
            | StreamEvent::Image { .. }
            | StreamEvent::Foreign { .. }
            | StreamEvent::PartEnd { .. }
            | StreamEvent::Refusal { .. }
            | StreamEvent::ToolCallStart { .. }
            | StreamEvent::ToolCallArguments { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Annotations { .. }
            | StreamEvent::Finish { .. }
            | StreamEvent::ServiceTier(_)
            | StreamEvent::Geo(_)
            | StreamEvent::Usage(_) => {}
        }
    }

    /// `messageStop` and `metadata`: to a client the stream is over with the first.
    pub(crate) fn finish(&mut self, elapsed_ms: u64, out: &mut BytesMut) {
        self.start(out);
        self.drain(out);
        let reason = self.finish.take().unwrap_or(FinishReason::Stop);
        self.event("messageStop", out, |stop| {
            stop.field("stopReason", reason.to_bedrock());
            write_stop_sequence(stop, &reason);
        });
        let (usage, tier) = (self.usage.take(), self.service_tier.take());
        self.event("metadata", out, |metadata| {
            write_usage(metadata, usage.as_ref());
            write_metrics(metadata, elapsed_ms);
            write_tier(metadata, tier.as_deref());
        });
    }

    fn start(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.started, true) {
            self.event("messageStart", out, |start| start.field("role", "assistant"));
        }
    }

    fn number(&mut self) -> u64 {
        let index = self.next;
        self.next += 1;
        index
    }

    /// The open text block's number.
    fn text(&mut self, out: &mut BytesMut) -> u64 {
        if let Some(Open::Text(index)) = self.open {
            return index;
        }
        self.close(out);
        let index = self.number();
        self.open = Some(Open::Text(index));
        index
    }

    /// The open reasoning block's number.
    fn reasoning(&mut self, out: &mut BytesMut) -> u64 {
        if let Some(Open::Reasoning(index)) = self.open {
            return index;
        }
        self.close(out);
        let index = self.number();
        self.open = Some(Open::Reasoning(index));
        index
    }

    fn citation(&mut self, citation: &Citation, out: &mut BytesMut) {
        let index = self.text(out);
        self.delta(index, out, |delta| delta.object("citation", |object| encode_citation(object, citation)));
    }

    /// A picture in a block of its own, unless it is in a format that the wire's clients do not know.
    fn image(&mut self, media_type: &str, data: &str, out: &mut BytesMut) {
        let Some(format) = picture_format(media_type) else { return };
        self.close(out);
        let index = self.number();
        self.event("contentBlockStart", out, |event| {
            event.field("contentBlockIndex", &index);
            event.object("start", |start| start.object("image", |image| image.field("format", format)));
        });
        self.delta(index, out, |delta| {
            delta.object("image", |image| {
                image.object("source", |source| source.text("bytes", &[data]));
            });
        });
        self.event("contentBlockStop", out, |event| event.field("contentBlockIndex", &index));
    }

    fn call(&mut self, call: u32, id: &str, name: &str, custom: bool, out: &mut BytesMut) {
        self.close(out);
        let index = self.number();
        self.open = Some(Open::Call { index, call, empty: true, custom });
        self.event("contentBlockStart", out, |event| {
            event.field("contentBlockIndex", &index);
            event.object("start", |start| {
                start.object("toolUse", |call| {
                    call.field("toolUseId", id);
                    call.field("name", name);
                });
            });
        });
    }

    fn arguments(&mut self, call: u32, text: &str, out: &mut BytesMut) {
        let Some(Open::Call { index, call: open, empty, custom }) = self.open else { return };
        if open != call || text.is_empty() {
            return;
        }
        self.open = Some(Open::Call { index, call: open, empty: false, custom });
        if !custom {
            return self.input(index, text, out);
        }
        let head = if empty { FREE_TEXT_HEAD } else { "" };
        self.input(index, &format!("{head}{}", escaped(text)), out);
    }

    fn close(&mut self, out: &mut BytesMut) {
        let Some(open) = self.open.take() else { return };
        let index = open.index();
        match open {
            Open::Call { empty: true, .. } => self.input(index, "{}", out),
            Open::Call { custom: true, .. } => self.input(index, FREE_TEXT_TAIL, out),
            Open::Call { .. } | Open::Text(_) | Open::Reasoning(_) => {}
        }
        self.event("contentBlockStop", out, |event| event.field("contentBlockIndex", &index));
    }

    fn input(&mut self, index: u64, text: &str, out: &mut BytesMut) {
        self.delta(index, out, |delta| delta.object("toolUse", |call| call.field("input", text)));
    }

    fn reasoning_delta(&mut self, index: u64, kind: &str, text: &str, out: &mut BytesMut) {
        self.delta(index, out, |delta| delta.object("reasoningContent", |piece| piece.field(kind, text)));
    }

    fn delta(&mut self, index: u64, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.event("contentBlockDelta", out, |event| {
            event.field("contentBlockIndex", &index);
            event.object("delta", fill);
        });
    }

    fn event(&mut self, kind: &str, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.payload.clear();
        Object::write(&mut self.payload, fill);
        let headers =
            [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
        event_stream::write(out, &headers, &self.payload);
    }
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// The call that an event belongs to.
fn call_of(event: &StreamEvent) -> Option<u32> {
    match event {
        StreamEvent::ToolCallStart { call, .. } | StreamEvent::ToolCallArguments { call, .. } => Some(*call),
        _ => None,
    }
}
