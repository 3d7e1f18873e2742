//! A vendor's stream into canonical events.
//!
//! The type in the data decides, not the event's name. Servers that skip the deltas of a call, or of a text, tell it whole
//! when its item is done, and are read all the same.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::chat::{Json, Logprobs, Part, TokenLogprob, ToolInput};
use crate::dialect::Dialect;
use crate::error::{UpstreamFault, WireError};
use crate::event::StreamEvent;
use crate::json::{At, Fault, Fields, utf8};
use crate::openai_chat::facts::fault;
use crate::openai_responses::reply::{annotation, call, finish};
use crate::openai_responses::{opaque, usage};
use crate::sse::{Event, Scanner};

const CHOICE: u32 = 0;

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    scanner: Scanner,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    done: bool,
    /// The items that are calls, by their numbers among the items: their numbers among the calls.
    calls: BTreeMap<u64, Call>,
    refused: bool,
}

#[derive(Debug)]
struct Call {
    number: u32,
    /// Some of its input has come.
    told: bool,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        let state = &mut self.state;
        self.scanner.push(bytes, |event| state.take(&event, out))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.done
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
        if state.done { Ok(()) } else { Err(WireError::Cut) }
    }
}

impl State {
    fn take(&mut self, event: &Event<'_>, out: &mut Vec<StreamEvent>) -> Result<(), WireError> {
        if self.done || event.data.is_empty() || event.data.starts_with(b"[DONE]") {
            return Ok(());
        }
        let text = utf8(&event.data)?;
        let mut fields = Fields::of_text(text, &At::Root)?;
        let kind = fields.text_or_leave("type").unwrap_or_default();
        let delta =
            |fields: &mut Fields<'_, '_>| fields.text_or_leave("delta").filter(|text| !text.is_empty());
        match kind.as_str() {
            "response.created" => self.start(&mut fields, out),
            "response.output_text.delta" => {
                out.extend(delta(&mut fields).map(|text| StreamEvent::Text { choice: CHOICE, text }));
                let tokens: Vec<TokenLogprob> = fields
                    .take_if("logprobs", |raw| serde_json::from_str(raw.get()).ok())
                    .unwrap_or_default();
                if !tokens.is_empty() {
                    let logprobs = Logprobs { content: Some(tokens), refusal: None };
                    out.push(StreamEvent::Logprobs { choice: CHOICE, logprobs });
                }
            }
            "response.refusal.delta" => {
                self.refused = true;
                out.extend(delta(&mut fields).map(|text| StreamEvent::Refusal { choice: CHOICE, text }));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                out.extend(delta(&mut fields).map(|text| StreamEvent::Reasoning { choice: CHOICE, text }));
            }
            "response.content_part.done" => out.push(StreamEvent::PartEnd { choice: CHOICE }),
            // A piece of reasoning is over when another begins, or with its item, which brings the proof of it.
            "response.reasoning_summary_part.added" => {
                let first = fields.take("summary_index").is_none_or(|raw| raw.get() == "0");
                out.extend((!first).then_some(StreamEvent::PartEnd { choice: CHOICE }));
            }
            "response.output_text.annotation.added" => {
                let citation = fields.take("annotation").and_then(|raw| annotation(raw, &At::Root));
                out.extend(citation.map(|citation| StreamEvent::Citation { choice: CHOICE, citation }));
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let index = index(&mut fields);
                if let Some((call, text)) = self.calls.get_mut(&index).zip(delta(&mut fields)) {
                    call.told = true;
                    out.push(StreamEvent::ToolCallArguments { choice: CHOICE, call: call.number, text });
                }
            }
            "response.output_item.added" => self.added(&mut fields, out)?,
            "response.output_item.done" => self.item_done(&mut fields, out)?,
            "response.completed" | "response.incomplete" => self.end(&mut fields, out)?,
            "response.failed" | "error" => return Err(WireError::Upstream(failure(&mut fields, text))),
            // What only announces, repeats or measures, and what the vendor's own tools do meanwhile.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, fields: &mut Fields<'_, '_>, out: &mut Vec<StreamEvent>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let at = At::Root;
        let response = fields.take("response").and_then(|raw| Fields::of(raw, &at).ok());
        let (mut id, mut model, mut service_tier) = (None, None, None);
        if let Some(mut response) = response {
            id = response.text_or_leave("id");
            model = response.text_or_leave("model");
            service_tier = response.text_or_leave("service_tier").filter(|tier| tier != "auto");
        }
        out.push(StreamEvent::Start { id, model, service_tier, system_fingerprint: None });
    }

    fn added(&mut self, fields: &mut Fields<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), Fault> {
        let index = index(fields);
        let at = At::Root.field("item");
        let Some(raw) = fields.take("item") else { return Ok(()) };
        let mut item = Fields::of(raw, &at)?;
        let kind = item.text_or_leave("type").unwrap_or_default();
        if matches!(kind.as_str(), "function_call" | "custom_tool_call") {
            self.begin(index, &kind, &mut item, out)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        index: u64,
        kind: &str,
        item: &mut Fields<'_, '_>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<String, Fault> {
        let found = call(kind, item)?;
        let number = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        let (ToolInput::Arguments(input) | ToolInput::Text(input)) = found.input;
        self.calls.insert(index, Call { number, told: false });
        out.push(StreamEvent::ToolCallStart {
            choice: CHOICE,
            call: number,
            id: found.id,
            name: found.name,
            custom: kind == "custom_tool_call",
        });
        Ok(input)
    }

    fn item_done(&mut self, fields: &mut Fields<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), Fault> {
        let index = index(fields);
        let at = At::Root.field("item");
        let Some(raw) = fields.take("item") else { return Ok(()) };
        let mut item = Fields::of(raw, &at)?;
        let kind = item.text_or_leave("type").unwrap_or_default();
        match kind.as_str() {
            "message" => {}
            "function_call" | "custom_tool_call" => {
                let input = if self.calls.contains_key(&index) {
                    let (ToolInput::Arguments(input) | ToolInput::Text(input)) =
                        call(&kind, &mut item)?.input;
                    input
                } else {
                    self.begin(index, &kind, &mut item, out)?
                };
                let Some(call) = self.calls.get(&index) else { return Ok(()) };
                let custom = kind == "custom_tool_call";
                if !call.told && (!custom || !input.is_empty()) {
                    let text = if input.is_empty() { "{}".into() } else { input };
                    out.push(StreamEvent::ToolCallArguments { choice: CHOICE, call: call.number, text });
                }
                out.push(StreamEvent::PartEnd { choice: CHOICE });
            }
            "reasoning" => {
                let encrypted = item.text_or_leave("encrypted_content");
                out.extend(opaque::parts(Vec::new(), encrypted.as_deref()).into_iter().filter_map(sealed));
                out.push(StreamEvent::PartEnd { choice: CHOICE });
            }
            _ => {
                let dialect = Dialect::OpenAiResponses;
                out.push(StreamEvent::Foreign { choice: CHOICE, dialect, kind, block: Json::from(raw) });
            }
        }
        Ok(())
    }

    fn end(&mut self, fields: &mut Fields<'_, '_>, out: &mut Vec<StreamEvent>) -> Result<(), Fault> {
        let at = At::Root.field("response");
        let mut response = Fields::of(fields.need("response")?, &at)?;
        self.done = true;
        let mut said = Vec::new();
        if self.refused {
            said.push(Part::Refusal { text: String::new() });
        }
        if !self.calls.is_empty() {
            said.push(Part::ToolCall(crate::chat::ToolCall {
                id: String::new(),
                name: String::new(),
                input: ToolInput::Text(String::new()),
            }));
        }
        let reason = finish(&mut response, &said);
        out.push(StreamEvent::Finish { choice: CHOICE, reason });
        out.extend(response.text_or_leave("service_tier").map(StreamEvent::ServiceTier));
        let output = response.take("output");
        out.extend(usage::decode(response.take("usage"), output).map(StreamEvent::Usage));
        Ok(())
    }
}

/// What seals a piece of reasoning whose text has come.
fn sealed(part: Part) -> Option<StreamEvent> {
    match part {
        Part::Reasoning { signature, .. } => {
            signature.map(|signature| StreamEvent::ReasoningSignature { choice: CHOICE, signature })
        }
        Part::RedactedReasoning { data } => Some(StreamEvent::RedactedReasoning { choice: CHOICE, data }),
        Part::Foreign { dialect, kind, block } => {
            Some(StreamEvent::Foreign { choice: CHOICE, dialect, kind, block })
        }
        _ => None,
    }
}

fn index(fields: &mut Fields<'_, '_>) -> u64 {
    fields.take("output_index").and_then(|raw| raw.get().parse().ok()).unwrap_or_default()
}

/// The vendor's error: in an object of its own, in the answer, or in the event itself.
fn failure(fields: &mut Fields<'_, '_>, text: &str) -> UpstreamFault {
    let at = At::Root;
    let response = fields.take("response").and_then(|raw| Fields::of(raw, &at).ok());
    let told = response.and_then(|mut response| response.take("error")).and_then(fault);
    let told = told.or_else(|| fields.take("error").and_then(fault));
    let whole = || serde_json::from_str::<&RawValue>(text).ok().and_then(fault);
    told.or_else(whole).unwrap_or_default()
}
