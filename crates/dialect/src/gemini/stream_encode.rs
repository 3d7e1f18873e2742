//! Canonical events into a client's stream.
//!
//! What clients rely on (Google's API reference and SDKs): every event is an answer like a whole one; a call comes whole,
//! with an object of arguments; finish reasons and figures stand in the last one. No comments: the SDK for Python reads
//! every line as JSON. Other wires let calls run side by side, so each waits until it is complete, and the last event
//! until the call is settled.

use std::collections::BTreeMap;

use bytes::BytesMut;
use steelyard_core::Usage;

use crate::anthropic::citation::of_annotations;
use crate::bedrock::content::arguments;
use crate::chat::{FinishReason, Json, Logprobs, ToolInput};
use crate::dialect::{Dialect, ReplyContext};
use crate::event::{Said, StreamEvent};
use crate::gemini::candidate::{self, Cited};
use crate::gemini::content::{BESIDE, SIGNATURE};
use crate::gemini::{Framing, reply, usage};
use crate::json::Object;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    framing: Framing,
    /// Something has been written.
    begun: bool,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    service_tier: Option<String>,
    frame: Vec<u8>,
}

/// One answer as it grows.
#[derive(Debug, Default)]
struct Choice {
    /// Calls that are not written yet, by their numbers.
    calls: BTreeMap<u32, Call>,
    /// The call that the last event belonged to.
    last: Option<u32>,
    /// Where its texts stand, in bytes.
    said: Said,
    cited: Vec<Cited>,
    logprobs: Logprobs,
    finish: Option<FinishReason>,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    custom: bool,
    input: String,
    /// It is complete, and waits for what may stand beside it.
    ended: bool,
}

impl Encoder {
    pub(crate) fn new(context: ReplyContext, framing: Framing) -> Self {
        Self {
            context,
            framing,
            begun: false,
            choices: BTreeMap::new(),
            usage: None,
            service_tier: None,
            frame: Vec::with_capacity(512),
        }
    }

    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        if event.ends_text()
            && let Some(choice) = event.choice()
        {
            self.choice(choice).said.end_part();
        }
        match event {
            StreamEvent::Start { service_tier, .. } => self.service_tier.clone_from(service_tier),
            StreamEvent::ServiceTier(tier) => self.service_tier = Some(tier.clone()),
            StreamEvent::Usage(used) => self.usage = Some(*used),
            // A refusal is said like anything else; the reason for stopping tells what it is.
            StreamEvent::Text { choice, text } | StreamEvent::Refusal { choice, text } => {
                self.flush_ended(*choice, None, out);
                if !text.is_empty() {
                    let said = &mut self.choice(*choice).said;
                    said.text(text.len());
                    if matches!(event, StreamEvent::Refusal { .. }) {
                        said.end_part();
                    }
                    self.part(*choice, out, |part| part.field("text", text));
                }
            }
            StreamEvent::Reasoning { choice, text } => {
                self.flush_ended(*choice, None, out);
                if !text.is_empty() {
                    self.part(*choice, out, |part| {
                        part.field("text", text);
                        part.field("thought", &true);
                    });
                }
            }
            StreamEvent::Foreign { choice, dialect: Dialect::GeminiGenerate, kind, block } => {
                self.foreign(*choice, kind, block, out);
            }
            StreamEvent::Image { choice, media_type, data } => {
                self.flush_ended(*choice, None, out);
                self.part(*choice, out, |part| {
                    part.object("inlineData", |inline| {
                        inline.field("mimeType", media_type);
                        inline.text("data", &[data]);
                    });
                });
            }
            StreamEvent::ToolCallStart { choice, call, id, name, custom } => {
                self.flush_ended(*choice, None, out);
                let state = self.choice(*choice);
                let (id, name) = (id.clone(), name.clone());
                let call_state = Call { id, name, custom: *custom, input: String::new(), ended: false };
                state.calls.insert(*call, call_state);
                state.last = Some(*call);
            }
            StreamEvent::ToolCallArguments { choice, call, text } => {
                let state = self.choice(*choice);
                state.last = Some(*call);
                if let Some(call) = state.calls.get_mut(call) {
                    call.input.push_str(text);
                }
            }
            StreamEvent::PartEnd { choice } => {
                let state = self.choice(*choice);
                let last = state.last;
                if let Some(call) = last.and_then(|last| state.calls.get_mut(&last)) {
                    call.ended = true;
                }
            }
            StreamEvent::Citation { choice, citation } => {
                let state = self.choice(*choice);
                let (start, end) = state.said.last_part();
                state.cited.extend(Cited::of(citation, start, end));
            }
            StreamEvent::Annotations { choice, annotations } => {
                let state = self.choice(*choice);
                let all = state.said.total();
                let pages = of_annotations(annotations);
                state.cited.extend(pages.iter().filter_map(|page| Cited::of(page, 0, all)));
            }
            StreamEvent::Logprobs { choice, logprobs } => {
                let all = &mut self.choice(*choice).logprobs;
                if let Some(more) = &logprobs.content {
                    all.content.get_or_insert_default().extend(more.iter().cloned());
                }
            }
            StreamEvent::Finish { choice, reason } => self.choice(*choice).finish = Some(reason.clone()),
            // Proofs and hidden thoughts of other vendors, and their own blocks, have no word here.
            StreamEvent::Geo(_)
            | StreamEvent::ReasoningSignature { .. }
            | StreamEvent::RedactedReasoning { .. }
            | StreamEvent::Foreign { .. } => {}
        }
    }

    /// The last event: what has waited, the reasons, the figures.
    pub(crate) fn finish(&mut self, out: &mut BytesMut) {
        self.choices.entry(0).or_default();
        let numbers: Vec<u32> = self.choices.keys().copied().collect();
        for number in numbers {
            for call in self.choice(number).calls.values_mut() {
                call.ended = true;
            }
            self.flush_ended(number, None, out);
        }
        let choices = std::mem::take(&mut self.choices);
        let (used, tier) = (self.usage.take(), self.service_tier.take());
        self.event(out, |body| {
            body.objects("candidates", &choices, |object, (number, choice)| {
                choice.write_end(object, *number);
            });
            if let Some(used) = &used {
                body.object("usageMetadata", |object| {
                    usage::encode(used, object);
                    reply::write_tier(object, tier.as_deref());
                });
            }
        });
        if self.framing == Framing::Array {
            out.extend_from_slice(b"]");
        }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        self.choices.entry(choice).or_default()
    }

    /// What only this wire has. What stands beside a call goes with it; beside a text, which has gone already, it gets an
    /// empty one of its own.
    fn foreign(&mut self, choice: u32, kind: &str, block: &Json, out: &mut BytesMut) {
        let beside = kind == SIGNATURE || kind == BESIDE;
        let waits = self.choice(choice).calls.values().any(|call| call.ended);
        self.flush_ended(choice, Some(block).filter(|_| beside), out);
        if beside && waits {
            return;
        }
        self.part(choice, out, |part| {
            if beside {
                part.field("text", "");
            }
            part.members(block);
        });
    }

    /// Writes the calls that are complete. `beside` stands beside the last of them.
    fn flush_ended(&mut self, choice: u32, beside: Option<&Json>, out: &mut BytesMut) {
        let state = self.choice(choice);
        let ended: Vec<u32> =
            state.calls.iter().filter(|(_, call)| call.ended).map(|(number, _)| *number).collect();
        let last = ended.last().copied();
        for number in ended {
            let Some(call) = self.choice(choice).calls.remove(&number) else { continue };
            self.part(choice, out, |part| {
                call.write(part);
                if let Some(beside) = beside.filter(|_| Some(number) == last) {
                    part.members(beside);
                }
            });
        }
    }

    fn part(&mut self, choice: u32, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        let mut fill = Some(fill);
        self.event(out, |body| {
            body.objects("candidates", [choice], |object, choice| {
                object.object("content", |content| {
                    content.objects("parts", [()], |part, ()| {
                        if let Some(fill) = fill.take() {
                            fill(part);
                        }
                    });
                    content.field("role", "model");
                });
                object.field("index", &choice);
            });
        });
    }

    fn event(&mut self, out: &mut BytesMut, fill: impl FnOnce(&mut Object<'_>)) {
        self.frame.clear();
        let began = std::mem::replace(&mut self.begun, true);
        let (head, tail): (&[u8], &[u8]) = match (self.framing, began) {
            (Framing::Events, _) => (b"data: ", b"\n\n"),
            (Framing::Array, false) => (b"[", b""),
            (Framing::Array, true) => (b",\r\n", b""),
        };
        self.frame.extend_from_slice(head);
        Object::write(&mut self.frame, |body| {
            fill(body);
            body.field("modelVersion", &self.context.model);
            body.field("responseId", &self.context.id);
        });
        self.frame.extend_from_slice(tail);
        out.extend_from_slice(&self.frame);
    }
}

impl Call {
    fn write(&self, part: &mut Object<'_>) {
        let input = self.input.clone();
        let input = if self.custom { ToolInput::Text(input) } else { ToolInput::Arguments(input) };
        let (args, _) = arguments(&input, false);
        part.object("functionCall", |call| {
            if !self.id.is_empty() {
                call.field("id", &self.id);
            }
            call.field("name", &self.name);
            call.field("args", &args);
        });
    }
}

impl Choice {
    fn write_end(&self, object: &mut Object<'_>, number: u32) {
        object.object("content", |content| {
            content.objects("parts", [()], |part, ()| part.field("text", ""));
            content.field("role", "model");
        });
        object.field("finishReason", self.finish.as_ref().unwrap_or(&FinishReason::Stop).to_gemini());
        object.field("index", &number);
        candidate::write_citations(object, &self.cited);
        if self.logprobs.content.is_some() {
            candidate::write_logprobs(object, &self.logprobs);
        }
    }
}
