//! Canonical events into a client's stream.
//!
//! What clients rely on (Anthropic's API reference and SDKs): every event has its name; blocks never overlap and are
//! numbered from 0; a signature comes just before its block stops; the last `message_delta` has the true figures.
//! Other wires interleave the pieces of parallel calls: the pieces of a call that is not the open block wait.

use std::collections::VecDeque;

use bytes::BytesMut;
use serde::de::IgnoredAny;
use steelyard_core::Usage;

use crate::anthropic::{Carrier, citation, reply, usage};
use crate::bedrock_invoke;
use crate::chat::{Citation, FinishReason, Json};
use crate::dialect::{Dialect, ReplyContext};
use crate::event::StreamEvent;
use crate::json::Object;

/// Anthropic's clients know one answer for a call.
const CHOICE: u32 = 0;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    carrier: Carrier,
    /// How long the first event took, in milliseconds.
    first_ms: u64,
    service_tier: Option<String>,
    started: bool,
    pinged: bool,
    /// The number of the next block.
    next: u32,
    /// Blocks that are not over yet. The first is open at the client.
    blocks: VecDeque<Block>,
    /// The part that the last event belonged to, by its number.
    touched: Option<usize>,
    parts: usize,
    /// The last piece of a refusal: whether it is text shows only when the answer ends.
    refusal: Option<String>,
    refused: bool,
    called: bool,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Block {
    part: usize,
    kind: Kind,
    /// Its beginning has been sent.
    open: bool,
    ended: bool,
    waiting: Vec<Delta>,
    /// The input of a call so far.
    input: String,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Text,
    Thinking,
    Call {
        call: u32,
        id: String,
        name: String,
        custom: bool,
    },
    /// Whole in its beginning.
    Hidden(String),
    /// Whole in its beginning, as it was written.
    Foreign(Json),
}

#[derive(Debug)]
enum Delta {
    Text(String),
    Thinking(String),
    Signature(String),
    Input(String),
    Citation(Box<Citation>),
}

impl Encoder {
    pub(crate) fn new(context: ReplyContext, carrier: Carrier) -> Self {
        Self {
            context,
            carrier,
            first_ms: 0,
            service_tier: None,
            started: false,
            pinged: false,
            next: 0,
            blocks: VecDeque::new(),
            touched: None,
            parts: 0,
            refusal: None,
            refused: false,
            called: false,
            finish: None,
            usage: None,
            frame: Vec::with_capacity(512),
        }
    }

    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match event {
            StreamEvent::Start { service_tier, .. } => self.service_tier.clone_from(service_tier),
            StreamEvent::Usage(used) => self.usage = Some(*used),
            // Told by the start alone, if that has not gone yet.
            StreamEvent::ServiceTier(tier) => self.service_tier = Some(tier.clone()),
            _ => {}
        }
        self.start(out);
        if !matches!(
            event,
            StreamEvent::Refusal { .. }
                | StreamEvent::Finish { .. }
                | StreamEvent::Usage(_)
                | StreamEvent::ServiceTier(_)
                | StreamEvent::Geo(_)
        ) {
            self.tell_refusal();
        }
        self.take(event);
        self.advance(out);
    }

    fn take(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Text { choice: CHOICE, text } => self.more(&Kind::Text, Delta::Text(text.clone())),
            StreamEvent::Reasoning { choice: CHOICE, text } => {
                self.more(&Kind::Thinking, Delta::Thinking(text.clone()));
            }
            StreamEvent::ReasoningSignature { choice: CHOICE, signature } => {
                self.more(&Kind::Thinking, Delta::Signature(signature.clone()));
                self.end_touched();
            }
            StreamEvent::RedactedReasoning { choice: CHOICE, data } => {
                self.begin(Kind::Hidden(data.clone()));
                self.end_touched();
            }
            StreamEvent::Foreign { choice: CHOICE, dialect: Dialect::AnthropicMessages, block, .. } => {
                self.begin(Kind::Foreign(block.clone()));
                self.end_touched();
            }
            StreamEvent::Citation { choice: CHOICE, citation } => {
                self.more(&Kind::Text, Delta::Citation(Box::new(citation.clone())));
            }
            StreamEvent::Annotations { choice: CHOICE, annotations } => {
                for citation in citation::of_annotations(annotations) {
                    self.more(&Kind::Text, Delta::Citation(Box::new(citation)));
                }
            }
            StreamEvent::PartEnd { choice: CHOICE } => self.end_touched(),
            StreamEvent::Refusal { choice: CHOICE, text } => {
                self.refused = true;
                self.tell_refusal();
                self.refusal = Some(text.clone());
            }
            StreamEvent::ToolCallStart { choice: CHOICE, call, id, name, custom } => {
                self.called = true;
                self.begin(Kind::Call { call: *call, id: id.clone(), name: name.clone(), custom: *custom });
            }
            StreamEvent::ToolCallArguments { choice: CHOICE, call, text } => self.input(*call, text),
            StreamEvent::Finish { choice: CHOICE, reason } => {
                if *reason != FinishReason::Refusal {
                    self.tell_refusal();
                }
                self.finish = Some(reason.clone());
                self.end_all();
            }
            // Seen before, other choices, and what this wire has no word for.
            StreamEvent::Start { .. }
            | StreamEvent::Usage(_)
            | StreamEvent::ServiceTier(_)
            | StreamEvent::Geo(_)
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Annotations { .. }
            | StreamEvent::Text { .. }
            | StreamEvent::Reasoning { .. }
            | StreamEvent::ReasoningSignature { .. }
            | StreamEvent::RedactedReasoning { .. }
            | StreamEvent::Image { .. }
            | StreamEvent::Foreign { .. }
            | StreamEvent::Citation { .. }
            | StreamEvent::PartEnd { .. }
            | StreamEvent::Refusal { .. }
            | StreamEvent::ToolCallStart { .. }
            | StreamEvent::ToolCallArguments { .. }
            | StreamEvent::Finish { .. } => {}
        }
    }

    /// The first event came so long after the request was sent.
    pub(crate) fn began(&mut self, elapsed_ms: u64) {
        self.first_ms = elapsed_ms;
    }

    /// Writes what remains, the figures and the end.
    pub(crate) fn finish(&mut self, elapsed_ms: u64, out: &mut BytesMut) {
        self.start(out);
        let finish = self.finish.take().unwrap_or(FinishReason::Stop);
        if finish != FinishReason::Refusal {
            self.tell_refusal();
        }
        self.end_all();
        self.advance(out);
        let (used, called) = (self.usage.unwrap_or_default(), self.called);
        let refused = self.refusal.take().or_else(|| self.refused.then(String::new));
        self.event("message_delta", out, |event| {
            event.object("delta", |delta| reply::stop(delta, &finish, called, refused.as_deref(), None));
            event.object("usage", |object| usage::encode_delta(&used, object));
        });
        let (carrier, first_ms) = (self.carrier, self.first_ms);
        self.event("message_stop", out, |event| match carrier {
            Carrier::Api => {}
            Carrier::Bedrock => bedrock_invoke::stream::write_metrics(event, &used, first_ms, elapsed_ms),
        });
    }

    fn start(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let used = self.usage.unwrap_or_default();
        let (context, tier) = (self.context.clone(), self.service_tier.clone());
        self.event("message_start", out, |event| {
            event.object("message", |message| reply::write_start(message, &context, &used, tier.as_deref()));
        });
    }

    /// A refusal that the answer goes on after, or that is the answer, is text.
    fn tell_refusal(&mut self) {
        if let Some(text) = self.refusal.take() {
            self.more(&Kind::Text, Delta::Text(text));
        }
    }

    /// A piece of the last block if it is of that kind, else of a new one.
    fn more(&mut self, kind: &Kind, delta: Delta) {
        let goes_on = self.blocks.back().is_some_and(|block| block.kind == *kind && !block.ended);
        if !goes_on {
            self.begin(match kind {
                Kind::Thinking => Kind::Thinking,
                _ => Kind::Text,
            });
        }
        if let Some(block) = self.blocks.back_mut() {
            self.touched = Some(block.part);
            block.waiting.push(delta);
        }
    }

    fn begin(&mut self, kind: Kind) {
        for block in &mut self.blocks {
            // A call whose input is a whole object is over; one whose is not may go on beside others.
            block.ended |= match &block.kind {
                Kind::Call { custom, .. } => !custom && is_object(&block.input),
                Kind::Text | Kind::Thinking | Kind::Hidden(_) | Kind::Foreign(_) => true,
            };
        }
        self.parts += 1;
        self.touched = Some(self.parts);
        self.blocks.push_back(Block {
            part: self.parts,
            kind,
            open: false,
            ended: false,
            waiting: Vec::new(),
            input: String::new(),
        });
    }

    fn input(&mut self, number: u32, text: &str) {
        let is_it = |block: &&mut Block| matches!(block.kind, Kind::Call { call, .. } if call == number);
        if let Some(block) = self.blocks.iter_mut().find(is_it) {
            self.touched = Some(block.part);
            block.input.push_str(text);
            if !matches!(block.kind, Kind::Call { custom: true, .. }) {
                block.waiting.push(Delta::Input(text.to_owned()));
            }
        }
    }

    fn end_touched(&mut self) {
        let touched = self.touched;
        if let Some(block) = self.blocks.iter_mut().find(|block| Some(block.part) == touched) {
            block.ended = true;
        }
    }

    fn end_all(&mut self) {
        self.blocks.iter_mut().for_each(|block| block.ended = true);
    }

    /// Writes what may be written: the first block's pieces, its end, and so on with the next.
    fn advance(&mut self, out: &mut BytesMut) {
        while let Some(mut block) = self.blocks.pop_front() {
            let index = self.next;
            if !std::mem::replace(&mut block.open, true) {
                self.event("content_block_start", out, |event| {
                    event.field("index", &index);
                    event.object("content_block", |object| write_beginning(object, &block.kind));
                });
                // Bedrock sends none.
                if !std::mem::replace(&mut self.pinged, true) && self.carrier == Carrier::Api {
                    self.event("ping", out, |_| {});
                }
            }
            if block.ended && matches!(block.kind, Kind::Call { custom: true, .. }) {
                let mut input = Vec::new();
                Object::write(&mut input, |object| object.field("input", &block.input));
                block.waiting.extend(String::from_utf8(input).ok().map(Delta::Input));
            }
            for delta in block.waiting.drain(..) {
                self.event("content_block_delta", out, |event| {
                    event.field("index", &index);
                    event.object("delta", |object| write_delta(object, &delta));
                });
            }
            if !block.ended {
                self.blocks.push_front(block);
                return;
            }
            self.event("content_block_stop", out, |event| event.field("index", &index));
            self.next += 1;
        }
    }

    fn event(&mut self, name: &str, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.frame.clear();
        Object::write(&mut self.frame, |event| {
            event.field("type", name);
            fill(event);
        });
        match self.carrier {
            Carrier::Api => {
                for piece in [b"event: ", name.as_bytes(), b"\ndata: ", &self.frame, b"\n\n"] {
                    out.extend_from_slice(piece);
                }
            }
            Carrier::Bedrock => bedrock_invoke::stream::write_chunk(&self.frame, out),
        }
    }
}

fn is_object(input: &str) -> bool {
    input.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(input).is_ok()
}

fn write_beginning(object: &mut Object<'_>, kind: &Kind) {
    match kind {
        Kind::Text => {
            object.field("type", "text");
            object.field("text", "");
        }
        Kind::Thinking => {
            object.field("type", "thinking");
            object.field("thinking", "");
            object.field("signature", "");
        }
        Kind::Call { id, name, .. } => {
            object.field("type", "tool_use");
            object.field("id", id);
            object.field("name", name);
            object.object("input", |_| {});
        }
        Kind::Hidden(data) => {
            object.field("type", "redacted_thinking");
            object.field("data", data);
        }
        Kind::Foreign(block) => object.members(block),
    }
}

fn write_delta(object: &mut Object<'_>, delta: &Delta) {
    match delta {
        Delta::Text(text) => {
            object.field("type", "text_delta");
            object.field("text", text);
        }
        Delta::Thinking(text) => {
            object.field("type", "thinking_delta");
            object.field("thinking", text);
        }
        Delta::Signature(signature) => {
            object.field("type", "signature_delta");
            object.field("signature", signature);
        }
        Delta::Input(text) => {
            object.field("type", "input_json_delta");
            object.field("partial_json", text);
        }
        Delta::Citation(citation) => {
            object.field("type", "citations_delta");
            object.object("citation", |object| citation::encode(citation, object));
        }
    }
}
