//! A vendor's stream into canonical events.
//!
//! An event says what it is in its data; its name is not needed. Blocks of the vendor's own tools are collected and
//! told whole.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::anthropic::usage::{self, Figures, Served};
use crate::anthropic::{citation, facts, reply};
use crate::chat::{Citation, FinishReason, Json};
use crate::dialect::Dialect;
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::json::{At, Extra, Fault, Fields, Object, or_default};
use crate::openai_chat::facts::fault;
use crate::sse::Scanner;
use crate::sse::relay::is_object;

/// Anthropic gives one answer for a call.
const CHOICE: u32 = 0;

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    scanner: Scanner,
    state: State,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        self.scanner.push(bytes, |event| state.take(&event.data, out))
    }

    /// Takes an event that something other than server-sent events carried.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        self.state.take(data, out)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.done
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.finished
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        if state.done {
            state.told(out);
            return Ok(());
        }
        // An unfinished event that cannot be read is the sign of a stream that broke off inside it.
        self.scanner.finish(|event| state.take(&event.data, out)).map_err(|error| match error {
            WireError::Garbage(_) => WireError::Cut,
            other => other,
        })?;
        if !state.done {
            return Err(WireError::Cut);
        }
        state.told(out);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    done: bool,
    finished: bool,
    figures: Figures,
    calls: u32,
    blocks: BTreeMap<u32, Block>,
}

/// A block that has begun.
#[derive(Debug)]
enum Block {
    /// Text, thinking, or hidden thinking; the sources of the text, told when it is over.
    Plain(Vec<Citation>),
    /// A call of a tool; the input it began with, until a delta comes.
    Call { call: u32, input: Option<String> },
    /// Of a kind that only this wire knows.
    Foreign { kind: String, block: Json, input: String },
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    index: u32,
    #[serde(default)]
    message: Option<Json>,
    #[serde(default)]
    content_block: Option<Json>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<Json>,
    #[serde(default)]
    error: Option<Json>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    citation: Option<Json>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    stop_details: Option<Json>,
}

impl State {
    fn take(&mut self, data: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if self.done || data.trim_ascii().is_empty() {
            return Ok(());
        }
        is_object(data)?;
        let wire: Wire = serde_json::from_slice(data).map_err(|error| {
            Fault::invalid(&At::Root, format!("an event is none of a message's: {error}"))
        })?;
        if let Some(fault) = wire.error.as_ref().and_then(|error| fault(error.raw())) {
            return Err(WireError::Upstream(fault));
        }
        match wire.kind.as_str() {
            "message_start" => self.start(wire.message.as_ref(), out),
            "content_block_start" => return self.begin(wire.index, wire.content_block, out),
            "content_block_delta" => self.delta(wire.index, wire.delta.unwrap_or_default(), out),
            "content_block_stop" => self.end(wire.index, out),
            "message_delta" => self.close(wire.delta.unwrap_or_default(), wire.usage.as_ref(), out),
            "message_stop" => self.done = true,
            // `ping`, and what may be invented later.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, message: Option<&Json>, out: &mut Vec<StreamEvent>) {
        let at = At::Root;
        let fields = message.and_then(|message| Fields::of(message.raw(), &at).ok());
        let (mut id, mut model, mut used) = (None, None, None);
        if let Some(mut fields) = fields {
            id = fields.text_or_leave("id");
            model = fields.text_or_leave("model");
            used = fields.take("usage");
        }
        let Served { tier, geo } = used.map(|raw| usage::served(raw.get())).unwrap_or_default();
        if !std::mem::replace(&mut self.started, true) {
            out.push(StreamEvent::Start { id, model, service_tier: tier, system_fingerprint: None });
            out.extend(geo.map(StreamEvent::Geo));
        }
        if let Some(used) = used {
            self.used(used.get(), out);
        }
    }

    /// Why the answer is over is told also where the vendor did not say.
    fn told(&mut self, out: &mut Vec<StreamEvent>) {
        if !std::mem::replace(&mut self.finished, true) {
            let reason = if self.calls > 0 { FinishReason::ToolCalls } else { FinishReason::Stop };
            out.push(StreamEvent::Finish { choice: CHOICE, reason });
        }
    }

    fn used(&mut self, text: &str, out: &mut Vec<StreamEvent>) {
        if self.figures.take(text) {
            out.extend(self.figures.usage().map(StreamEvent::Usage));
        }
    }

    fn begin(
        &mut self,
        index: u32,
        block: Option<Json>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), WireError> {
        let choice = CHOICE;
        let at = At::Root.field("content_block");
        let block = block.ok_or_else(|| Fault::missing(&at))?;
        let mut fields = Fields::of(block.raw(), &at)?;
        let kind = fields.need_text("type")?;
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        let state = match kind.as_str() {
            "text" => {
                out.extend(full(fields.text_or_leave("text")).map(|text| StreamEvent::Text { choice, text }));
                Block::Plain(Vec::new())
            }
            "thinking" => {
                let text = full(fields.text_or_leave("thinking"));
                out.extend(text.map(|text| StreamEvent::Reasoning { choice, text }));
                let signature = full(fields.text_or_leave("signature"));
                out.extend(signature.map(|signature| StreamEvent::ReasoningSignature { choice, signature }));
                Block::Plain(Vec::new())
            }
            "redacted_thinking" => {
                out.push(StreamEvent::RedactedReasoning { choice, data: fields.need_text("data")? });
                Block::Plain(Vec::new())
            }
            "tool_use" => {
                let call = self.calls;
                self.calls += 1;
                let (id, name) = (fields.need_text("id")?, fields.need_text("name")?);
                out.push(StreamEvent::ToolCallStart { choice, call, id, name, custom: false });
                let input = fields.json("input").map(|input| input.get().to_owned());
                Block::Call { call, input: Some(input.unwrap_or_else(|| "{}".into())) }
            }
            _ => Block::Foreign { kind, block: block.clone(), input: String::new() },
        };
        self.blocks.insert(index, state);
        Ok(())
    }

    fn delta(&mut self, index: u32, delta: Delta, out: &mut Vec<StreamEvent>) {
        let choice = CHOICE;
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(more) = full(delta.partial_json) {
            match self.blocks.get_mut(&index) {
                Some(Block::Call { call, input }) => {
                    *input = None;
                    out.push(StreamEvent::ToolCallArguments { choice, call: *call, text: more });
                }
                Some(Block::Foreign { input, .. }) => input.push_str(&more),
                Some(Block::Plain(_)) | None => {}
            }
        }
        if matches!(self.blocks.get(&index), Some(Block::Foreign { .. })) {
            return;
        }
        out.extend(full(delta.text).map(|text| StreamEvent::Text { choice, text }));
        out.extend(full(delta.thinking).map(|text| StreamEvent::Reasoning { choice, text }));
        let signature = full(delta.signature);
        out.extend(signature.map(|signature| StreamEvent::ReasoningSignature { choice, signature }));
        let citation =
            delta.citation.as_ref().and_then(|citation| citation::decode(citation.raw(), &At::Root));
        if let Block::Plain(citations) = self.blocks.entry(index).or_insert_with(|| Block::Plain(Vec::new()))
        {
            citations.extend(citation);
        }
    }

    fn end(&mut self, index: u32, out: &mut Vec<StreamEvent>) {
        let choice = CHOICE;
        match self.blocks.remove(&index) {
            // No delta came: the input is what the block began with.
            Some(Block::Call { call, input: Some(text) }) => {
                out.push(StreamEvent::ToolCallArguments { choice, call, text });
            }
            Some(Block::Foreign { kind, block, input }) => {
                let block = with_input(block, &input);
                out.push(StreamEvent::Foreign { choice, dialect: Dialect::AnthropicMessages, kind, block });
            }
            Some(Block::Plain(citations)) => cite(citations, out),
            Some(Block::Call { .. }) | None => {}
        }
        out.push(StreamEvent::PartEnd { choice });
    }

    fn close(&mut self, delta: Delta, used: Option<&Json>, out: &mut Vec<StreamEvent>) {
        let choice = CHOICE;
        if let Some(word) = delta.stop_reason.filter(|word| !word.is_empty())
            && !std::mem::replace(&mut self.finished, true)
        {
            for block in self.blocks.values_mut() {
                // It never stopped.
                if let Block::Plain(citations) = block {
                    cite(std::mem::take(citations), out);
                }
            }
            let text = delta.stop_details.as_ref().and_then(reply::explanation);
            out.extend(text.map(|text| StreamEvent::Refusal { choice, text }));
            let reason = FinishReason::from_anthropic(&word, delta.stop_sequence);
            out.push(StreamEvent::Finish { choice, reason });
        }
        if let Some(used) = used {
            self.used(used.get(), out);
            let Served { tier, geo } = usage::served(used.get());
            out.extend(tier.map(StreamEvent::ServiceTier));
            out.extend(geo.map(StreamEvent::Geo));
        }
    }
}

fn cite(citations: Vec<Citation>, out: &mut Vec<StreamEvent>) {
    out.extend(citations.into_iter().map(|citation| StreamEvent::Citation { choice: CHOICE, citation }));
}

/// The block with the input that its deltas brought, if they brought an object.
fn with_input(block: Json, input: &str) -> Json {
    let at = At::Root;
    let Some(input) = Json::parse(input).ok().filter(|input| input.get().starts_with('{')) else {
        return block;
    };
    let Ok(fields) = Fields::of(block.raw(), &at) else { return block };
    let mut members: Extra = fields.rest();
    members.insert("input".into(), input);
    let mut out = Vec::new();
    Object::write(&mut out, |object| object.extra(&members));
    facts::json(out).unwrap_or(block)
}
