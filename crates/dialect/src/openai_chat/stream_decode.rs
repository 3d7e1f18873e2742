//! A vendor's stream into canonical events.
//!
//! Vendors' habits that are evened out, each with a fixture under `fixtures/openai_chat/streams`: a first chunk
//! without choices (Azure), usage in the finish chunk or in every chunk, tool-call deltas without index or all
//! with index 0 (Mistral, Gemini's compatible endpoint), ids and names repeated in each delta, the finish reason
//! `stop` after tool calls, no `[DONE]` after the last finish reason.

use std::collections::BTreeMap;

use serde::Deserialize;
use steelyard_core::Usage;

use crate::chat::{Json, Logprobs};
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::json::{At, Fault, Mapped, without_nulls};
use crate::openai_chat::reply::{Piece, argument_text, call_id, finish_reason, pieces};
use crate::openai_chat::{choice_number, details, facts, usage};
use crate::sse::{Event, Scanner};

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    scanner: Scanner,
    state: State,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        self.scanner.push(bytes, |event| state.take(&event, out))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.done
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.is_over()
    }

    pub(crate) fn finish(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        if state.done {
            return Ok(());
        }
        // An unfinished event that cannot be read is the sign of a stream that broke off inside it.
        self.scanner.finish(|event| state.take(&event, out)).map_err(|error| match error {
            WireError::Garbage(_) => WireError::Cut,
            other => other,
        })?;
        state.end(out)
    }
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    done: bool,
    usage: Option<Usage>,
    choices: BTreeMap<u32, Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    calls: Vec<Call>,
    finished: bool,
    /// Reasoning has come as plain text.
    thought: bool,
    /// Sources of the text that comes, told when it is over.
    annotations: Vec<Json>,
}

#[derive(Debug)]
struct Call {
    /// The vendor's number, if it gives one.
    index: Option<u32>,
    id: String,
    /// Nothing of its JSON has come.
    silent: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: Option<Json>,
    #[serde(default)]
    model: Option<Json>,
    #[serde(default)]
    service_tier: Option<Json>,
    #[serde(default)]
    system_fingerprint: Option<Json>,
    #[serde(default, deserialize_with = "without_nulls")]
    choices: Vec<ChunkChoice>,
    #[serde(default)]
    usage: Option<Json>,
    #[serde(default)]
    error: Option<Json>,
    #[serde(default)]
    object: Option<Json>,
}

impl Chunk {
    /// Whether it looks like the vendor's error.
    fn is_error(&self) -> bool {
        self.error.is_some() || self.object.as_ref().is_some_and(|object| object.get() == "\"error\"")
    }
}

#[derive(Deserialize)]
struct ChunkChoice {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
    /// Moonshot writes the usage of a stream into its last choice.
    #[serde(default)]
    usage: Option<Json>,
}

#[derive(Deserialize, Default)]
struct Delta {
    #[serde(default)]
    content: Option<Json>,
    #[serde(default)]
    reasoning_content: Option<Json>,
    #[serde(default)]
    reasoning: Option<Json>,
    #[serde(default)]
    reasoning_details: Option<Json>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default, deserialize_with = "without_nulls")]
    tool_calls: Vec<ToolDelta>,
    #[serde(default)]
    function_call: Option<Function>,
    #[serde(default)]
    annotations: Option<Json>,
}

#[derive(Deserialize)]
struct ToolDelta {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
    #[serde(default)]
    custom: Option<Custom>,
}

#[derive(Deserialize, Default)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Json>,
}

#[derive(Deserialize)]
struct Custom {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<String>,
}

/// A tool-call delta, whatever form it had.
struct Piecewise {
    index: Option<u32>,
    id: Option<String>,
    name: Option<String>,
    text: String,
    custom: bool,
}

impl State {
    fn take(&mut self, event: &Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if self.done || event.data.is_empty() {
            return Ok(());
        }
        if event.data.starts_with(b"[DONE]") {
            // The end of nothing, or of a call that may lack its last arguments.
            let broke_off = |choice: &Choice| !choice.finished && !choice.calls.is_empty();
            if !self.started || self.choices.values().any(broke_off) {
                return Err(WireError::Cut);
            }
            self.done = true;
            self.close(out);
            return Ok(());
        }
        let read = serde_json::from_slice::<Mapped<Chunk>>(&event.data);
        let Mapped(chunk) = read.map_err(|error| match facts::fault_of_body(&event.data) {
            Some(fault) => WireError::Upstream(fault),
            None => {
                Fault::invalid(&At::Root, format!("an event is no chunk of a completion: {error}")).into()
            }
        })?;
        if chunk.is_error()
            && let Some(fault) = facts::fault_of_body(&event.data)
        {
            return Err(WireError::Upstream(fault));
        }
        self.chunk(chunk, out)
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let text =
            |json: Option<Json>| json.and_then(|json| json.as_string()).filter(|text| !text.is_empty());
        let (id, model) = (text(chunk.id), text(chunk.model));
        let choices = chunk.choices;
        // A chunk that only announces filter results names no model yet.
        if !self.started && (model.is_some() || !choices.is_empty()) {
            self.started = true;
            let (service_tier, system_fingerprint) =
                (text(chunk.service_tier), text(chunk.system_fingerprint));
            out.push(StreamEvent::Start { id, model, service_tier, system_fingerprint });
        }
        for (number, choice) in choices.into_iter().enumerate() {
            self.used(choice.usage, out);
            let number = choice_number(choice.index, number);
            let state = self.choices.entry(number).or_default();
            state.delta(number, choice.delta.unwrap_or_default(), out)?;
            if let Some(logprobs) = choice.logprobs {
                out.push(StreamEvent::Logprobs { choice: number, logprobs });
            }
            if let Some(word) = choice.finish_reason
                && !state.finished
            {
                state.finish(number, &word, out);
            }
        }
        self.used(chunk.usage, out);
        Ok(())
    }

    /// Tells figures as they come, for a stream may break off behind them.
    fn used(&mut self, usage: Option<Json>, out: &mut Vec<StreamEvent>) {
        let usage = usage.and_then(|usage| usage::decode(usage.get()));
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            out.extend(usage.map(StreamEvent::Usage));
        }
    }

    fn is_over(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finished)
    }

    fn end(&mut self, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if !self.done && !self.is_over() {
            return Err(WireError::Cut);
        }
        self.close(out);
        Ok(())
    }

    /// What clients must be told at the end: why each choice is over, also where the vendor did not say.
    fn close(&mut self, out: &mut Vec<StreamEvent>) {
        for (number, choice) in &mut self.choices {
            if !choice.finished {
                choice.finish(*number, "stop", out);
            }
        }
    }
}

impl Choice {
    fn delta(&mut self, choice: u32, delta: Delta, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let reasoning = delta.reasoning_content.or(delta.reasoning).and_then(|json| json.as_string());
        let reasoning = reasoning.filter(|text| !text.is_empty());
        // The details repeat a text that stands beside them, and that came before them.
        let told = self.thought || reasoning.is_some();
        if let Some(text) = reasoning {
            self.thought = true;
            out.push(StreamEvent::Reasoning { choice, text });
        }
        for piece in delta.reasoning_details.as_ref().map(details::pieces).unwrap_or_default() {
            match piece {
                details::Piece::Text(_) if told => {}
                details::Piece::Text(text) => out.push(StreamEvent::Reasoning { choice, text }),
                details::Piece::Signature(signature) => {
                    out.push(StreamEvent::ReasoningSignature { choice, signature });
                }
                details::Piece::Encrypted(data) => out.push(StreamEvent::RedactedReasoning { choice, data }),
            }
        }
        for piece in delta.content.map(|content| pieces(content.raw())).unwrap_or_default() {
            out.push(match piece {
                Piece::Text(text) => StreamEvent::Text { choice, text },
                Piece::Reasoning(text) => StreamEvent::Reasoning { choice, text },
                Piece::Refusal(text) => StreamEvent::Refusal { choice, text },
            });
        }
        if let Some(text) = delta.refusal.filter(|text| !text.is_empty()) {
            out.push(StreamEvent::Refusal { choice, text });
        }
        if let Some(annotations) = delta.annotations.filter(|list| !matches!(list.get(), "null" | "[]")) {
            self.annotations.push(annotations);
        }
        for call in delta.tool_calls {
            self.call(choice, Piecewise::from(call), out)?;
        }
        if let Some(function) = delta.function_call {
            let call = ToolDelta { index: Some(0), id: None, function: Some(function), custom: None };
            self.call(choice, Piecewise::from(call), out)?;
        }
        Ok(())
    }

    /// Tells the sources of the text that came.
    fn annotate(&mut self, choice: u32, out: &mut Vec<StreamEvent>) {
        let all = std::mem::take(&mut self.annotations);
        out.extend(all.into_iter().map(|annotations| StreamEvent::Annotations { choice, annotations }));
    }

    fn finish(&mut self, choice: u32, word: &str, out: &mut Vec<StreamEvent>) {
        self.finished = true;
        self.annotate(choice, out);
        let silent = self.calls.iter().enumerate().filter(|(_, call)| call.silent);
        out.extend(silent.map(|(call, _)| StreamEvent::ToolCallArguments {
            choice,
            call: number(call),
            text: "{}".into(),
        }));
        let reason = finish_reason(word, !self.calls.is_empty());
        out.push(StreamEvent::Finish { choice, reason });
    }

    fn call(&mut self, choice: u32, piece: Piecewise, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let call = match self.find(&piece) {
            Some(call) => call,
            None => self.begin(choice, &piece, out)?,
        };
        if !piece.text.is_empty() {
            self.calls[call].silent = false;
            out.push(StreamEvent::ToolCallArguments { choice, call: number(call), text: piece.text });
        }
        Ok(())
    }

    fn begin(
        &mut self,
        choice: u32,
        piece: &Piecewise,
        out: &mut Vec<StreamEvent>,
    ) -> Result<usize, WireError> {
        let Some(name) = piece.name.clone() else {
            let at = At::Root.field("tool_calls");
            return Err(Fault::invalid(&at, "a tool call goes on that never began").into());
        };
        self.annotate(choice, out);
        let call = self.calls.len();
        let id = piece.id.clone().unwrap_or_else(|| call_id(call));
        self.calls.push(Call { index: piece.index, id: id.clone(), silent: !piece.custom });
        out.push(StreamEvent::ToolCallStart { choice, call: number(call), id, name, custom: piece.custom });
        Ok(call)
    }

    /// The call that a delta continues. None: it begins one.
    fn find(&self, piece: &Piecewise) -> Option<usize> {
        match (&piece.id, piece.index) {
            // A known id continues its call; a new id beside a name begins one, even under a used index.
            (Some(id), index) => self.calls.iter().rposition(|call| call.id == *id).or_else(|| {
                let by_index = self.calls.iter().rposition(|call| index.is_some() && call.index == index);
                by_index.filter(|_| piece.name.is_none())
            }),
            (None, Some(index)) => self.calls.iter().rposition(|call| call.index == Some(index)),
            // Neither id nor index: a name begins a call, anything else continues the last one.
            (None, None) if piece.name.is_some() => None,
            (None, None) => self.calls.len().checked_sub(1),
        }
    }
}

fn number(call: usize) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

impl From<ToolDelta> for Piecewise {
    fn from(delta: ToolDelta) -> Self {
        let full = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (name, text, custom) = match (delta.custom, delta.function) {
            (Some(custom), _) => (custom.name, custom.input.unwrap_or_default(), true),
            (None, function) => {
                let function = function.unwrap_or_default();
                let text = function.arguments.filter(|json| json.get() != "null");
                (function.name, text.map(|json| argument_text(json.raw())).unwrap_or_default(), false)
            }
        };
        Self { index: delta.index, id: full(delta.id), name: full(name), text, custom }
    }
}
