//! Canonical events into a client's stream.
//!
//! What clients rely on (OpenAI's API reference, its SDKs, and agents): every event has its name and its number; an item is
//! added before its pieces come and told whole when it is done; the last event has the whole answer with its figures. An
//! item's number and id stand in each of its events, so calls that other wires let run side by side may do so here.

mod messages;

use bytes::BytesMut;
use serde::de::IgnoredAny;
use steelyard_core::Usage;

use crate::anthropic::citation::of_annotations;
use crate::chat::FinishReason;
use crate::dialect::{Dialect, ReplyContext};
use crate::event::StreamEvent;
use crate::json::Object;
use crate::openai_responses::output::{Body, Item, State, write_summary};
use crate::openai_responses::{echo, opaque, usage};

/// The wire has one answer for a call.
const CHOICE: u32 = 0;

/// Writes one stream.
#[derive(Debug)]
pub struct Encoder {
    context: ReplyContext,
    /// Whether events are written; the answer alone is wanted where they are not.
    tells: bool,
    next: u64,
    started: bool,
    service_tier: Option<String>,
    items: Vec<Item>,
    /// The item that the last piece belonged to.
    touched: Option<usize>,
    /// The last part of the message that is open is over.
    part_ended: bool,
    refused: bool,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    frame: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(context: ReplyContext) -> Self {
        Self {
            context,
            tells: true,
            next: 0,
            started: false,
            service_tier: None,
            items: Vec::new(),
            touched: None,
            part_ended: false,
            refused: false,
            finish: None,
            usage: None,
            frame: Vec::with_capacity(512),
        }
    }

    /// One that only collects the answer.
    pub(super) fn silent(context: ReplyContext) -> Self {
        Self { tells: false, ..Self::new(context) }
    }

    pub(crate) fn push(&mut self, event: &StreamEvent, out: &mut BytesMut) {
        match event {
            StreamEvent::Start { service_tier, .. } => self.service_tier.clone_from(service_tier),
            StreamEvent::ServiceTier(tier) => self.service_tier = Some(tier.clone()),
            StreamEvent::Usage(used) => self.usage = Some(*used),
            _ => {}
        }
        self.start(out);
        match event {
            StreamEvent::Text { choice: CHOICE, text } if !text.is_empty() => self.text(text, out),
            StreamEvent::Refusal { choice: CHOICE, text } => self.refusal(text, out),
            StreamEvent::Reasoning { choice: CHOICE, text } if !text.is_empty() => self.thought(text, out),
            StreamEvent::ReasoningSignature { choice: CHOICE, signature } => {
                let open = self.items.last().is_some_and(|item| {
                    item.is_open() && matches!(item.body, Body::Reasoning { encrypted: None, .. })
                });
                self.seal(opaque::signature(signature), open, out);
            }
            StreamEvent::RedactedReasoning { choice: CHOICE, data } => {
                self.seal(opaque::hidden(data), false, out);
            }
            StreamEvent::Foreign { choice: CHOICE, dialect: Dialect::GeminiGenerate, kind, block } => {
                self.seal(opaque::gemini(kind, block), false, out);
            }
            StreamEvent::Foreign { choice: CHOICE, dialect: Dialect::OpenAiResponses, block, .. } => {
                self.begin(Body::Whole(block.clone()), out);
                self.close(self.items.len() - 1, State::Completed, out);
            }
            StreamEvent::ToolCallStart { choice: CHOICE, call, id, name, custom } => {
                let (call_id, name) = (id.clone(), name.clone());
                let input = String::new();
                self.begin(Body::Call { number: *call, call_id, name, input, custom: *custom }, out);
            }
            StreamEvent::ToolCallArguments { choice: CHOICE, call, text } => self.input(*call, text, out),
            StreamEvent::PartEnd { choice: CHOICE } => self.end_part(out),
            StreamEvent::Citation { choice: CHOICE, citation } => {
                self.cite(std::slice::from_ref(citation), out);
            }
            StreamEvent::Annotations { choice: CHOICE, annotations } => {
                self.cite(&of_annotations(annotations), out);
            }
            StreamEvent::Logprobs { choice: CHOICE, logprobs } => {
                self.certain(logprobs.content.as_deref().unwrap_or_default(), out);
            }
            StreamEvent::Finish { choice: CHOICE, reason } => {
                self.finish = Some(reason.clone());
                self.close_all(out);
            }
            // Seen before, other choices, empty pieces, and what this wire has no word for.
            StreamEvent::Start { .. }
            | StreamEvent::ServiceTier(_)
            | StreamEvent::Usage(_)
            | StreamEvent::Geo(_)
            | StreamEvent::Text { .. }
            | StreamEvent::Refusal { .. }
            | StreamEvent::Reasoning { .. }
            | StreamEvent::ReasoningSignature { .. }
            | StreamEvent::RedactedReasoning { .. }
            | StreamEvent::Image { .. }
            | StreamEvent::Foreign { .. }
            | StreamEvent::ToolCallStart { .. }
            | StreamEvent::ToolCallArguments { .. }
            | StreamEvent::PartEnd { .. }
            | StreamEvent::Citation { .. }
            | StreamEvent::Annotations { .. }
            | StreamEvent::Logprobs { .. }
            | StreamEvent::Finish { .. } => {}
        }
    }

    /// Writes what remains, and the whole answer.
    pub(crate) fn finish(&mut self, elapsed_ms: u64, out: &mut BytesMut) {
        self.start(out);
        self.close_all(out);
        self.context.elapsed_ms = elapsed_ms;
        let name = match self.incomplete() {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        self.response_event(name, Some(()), out);
    }

    /// Writes the members of the answer.
    pub(super) fn write(&self, object: &mut Object<'_>) {
        self.response(object, Some(()));
    }

    fn incomplete(&self) -> Option<&'static str> {
        self.finish.as_ref().and_then(|finish| finish.to_responses(self.refused))
    }

    fn start(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.started, true) {
            self.response_event("response.created", None, out);
            self.response_event("response.in_progress", None, out);
        }
    }

    /// The answer, which is `over` or begins.
    fn response(&self, object: &mut Object<'_>, over: Option<()>) {
        let context = &self.context;
        let incomplete = over.and_then(|()| self.incomplete());
        object.field("id", &context.id);
        object.field("object", "response");
        object.field("created_at", &context.created);
        let status = match (over, incomplete) {
            (None, _) => "in_progress",
            (Some(()), None) => "completed",
            (Some(()), Some(_)) => "incomplete",
        };
        object.field("status", status);
        let seconds = i64::try_from(context.elapsed_ms / 1000).unwrap_or_default();
        let completed = (status == "completed").then(|| context.created.saturating_add(seconds));
        object.field("completed_at", &completed);
        object.null("error");
        match incomplete {
            Some(reason) => object.object("incomplete_details", |details| details.field("reason", reason)),
            None => object.null("incomplete_details"),
        }
        object.field("model", &context.model);
        let items = if over.is_some() { self.items.as_slice() } else { &[] };
        object.objects("output", items, |object, item| item.write(object, context.echo.as_ref()));
        echo::write(object, context.echo.as_ref());
        object.opt("service_tier", self.service_tier.as_ref());
        match self.usage.as_ref().filter(|_| over.is_some()) {
            Some(used) => object.object("usage", |object| usage::encode(used, object)),
            None => object.null("usage"),
        }
    }

    fn response_event(&mut self, name: &str, over: Option<()>, out: &mut BytesMut) {
        if !self.tells {
            return;
        }
        let mut frame = std::mem::take(&mut self.frame);
        write_event(&mut frame, name, self.next, |event| {
            event.object("response", |object| self.response(object, over));
        });
        self.sent(frame, out);
    }

    /// An event of an item.
    fn event(
        &mut self,
        name: &str,
        index: usize,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>, &Item),
    ) {
        if !self.tells {
            return;
        }
        let mut frame = std::mem::take(&mut self.frame);
        write_event(&mut frame, name, self.next, |event| {
            let item = &self.items[index];
            event.field("output_index", &index);
            if !name.starts_with("response.output_item.") {
                event.field("item_id", &item.id);
            }
            fill(event, item);
        });
        self.sent(frame, out);
    }

    fn sent(&mut self, frame: Vec<u8>, out: &mut BytesMut) {
        out.extend_from_slice(&frame);
        self.frame = frame;
        self.next += 1;
    }

    /// Begins an item. What came before is over, but for calls whose input is not complete.
    fn begin(&mut self, body: Body, out: &mut BytesMut) {
        for index in 0..self.items.len() {
            let over = match &self.items[index].body {
                Body::Call { input, custom, .. } => !custom && is_object(input),
                Body::Message(_) | Body::Reasoning { .. } | Body::Whole(_) => true,
            };
            if over {
                self.close(index, State::Completed, out);
            }
        }
        let prefix = match &body {
            Body::Message(_) => "msg",
            Body::Reasoning { .. } => "rs",
            Body::Call { custom: false, .. } => "fc",
            Body::Call { custom: true, .. } => "ctc",
            Body::Whole(_) => "it",
        };
        let index = self.items.len();
        let answer = self.context.id.strip_prefix("resp_").unwrap_or(&self.context.id);
        let id = format!("{prefix}_{answer}_{index}");
        self.items.push(Item { id, body, state: State::InProgress });
        self.touched = Some(index);
        self.part_ended = false;
        self.item_event("response.output_item.added", index, out);
    }

    fn item_event(&mut self, name: &str, index: usize, out: &mut BytesMut) {
        let echo = self.context.echo.take();
        self.event(name, index, out, |event, item| {
            event.object("item", |object| item.write(object, echo.as_ref()));
        });
        self.context.echo = echo;
    }

    fn thought(&mut self, more: &str, out: &mut BytesMut) {
        let open = self.items.last().is_some_and(|item| {
            item.is_open() && matches!(item.body, Body::Reasoning { encrypted: None, .. })
        });
        if !open {
            self.begin(Body::Reasoning { text: String::new(), encrypted: None }, out);
        }
        let index = self.items.len() - 1;
        self.touched = Some(index);
        let Body::Reasoning { text, .. } = &mut self.items[index].body else { return };
        let first = text.is_empty();
        text.push_str(more);
        if first {
            self.summary_event("response.reasoning_summary_part.added", index, out, |event, _| {
                event.object("part", |part| write_summary(part, ""));
            });
        }
        self.summary_event("response.reasoning_summary_text.delta", index, out, |event, _| {
            event.field("delta", more);
        });
    }

    fn summary_event(
        &mut self,
        name: &str,
        index: usize,
        out: &mut BytesMut,
        fill: impl FnOnce(&mut Object<'_>, &str),
    ) {
        self.event(name, index, out, |event, item| {
            if let Body::Reasoning { text, .. } = &item.body {
                event.field("summary_index", &0);
                fill(event, text);
            }
        });
    }

    /// Ends the reasoning that is open with what proves it, or puts what is hidden into an item of its own.
    fn seal(&mut self, content: String, open: bool, out: &mut BytesMut) {
        if open
            && let Some(Body::Reasoning { encrypted, .. }) = self.items.last_mut().map(|item| &mut item.body)
        {
            *encrypted = Some(content);
        } else {
            self.begin(Body::Reasoning { text: String::new(), encrypted: Some(content) }, out);
        }
        self.close(self.items.len() - 1, State::Completed, out);
    }

    fn input(&mut self, call: u32, more: &str, out: &mut BytesMut) {
        let is_it = |item: &Item| matches!(item.body, Body::Call { number, .. } if number == call);
        let Some(index) = self.items.iter().position(is_it) else { return };
        self.touched = Some(index);
        let Body::Call { input, custom, .. } = &mut self.items[index].body else { return };
        input.push_str(more);
        let name = if *custom {
            "response.custom_tool_call_input.delta"
        } else {
            "response.function_call_arguments.delta"
        };
        self.event(name, index, out, |event, _| event.field("delta", more));
    }

    fn end_part(&mut self, out: &mut BytesMut) {
        let Some(index) = self.touched else { return };
        match &self.items[index].body {
            Body::Message(_) => self.part_ended = true,
            _ => self.close(index, State::Completed, out),
        }
    }

    fn close_all(&mut self, out: &mut BytesMut) {
        let last = self.items.len().saturating_sub(1);
        for index in 0..self.items.len() {
            let cut = index == last && self.incomplete().is_some();
            self.close(index, if cut { State::Incomplete } else { State::Completed }, out);
        }
    }

    fn close(&mut self, index: usize, state: State, out: &mut BytesMut) {
        if !self.items[index].is_open() {
            return;
        }
        self.close_part(index, out);
        match &self.items[index].body {
            Body::Reasoning { text, .. } if !text.is_empty() => {
                self.summary_event("response.reasoning_summary_text.done", index, out, |event, text| {
                    event.field("text", text);
                });
                self.summary_event("response.reasoning_summary_part.done", index, out, |event, text| {
                    event.object("part", |part| write_summary(part, text));
                });
            }
            Body::Call { custom, .. } => {
                let (name, member) = if *custom {
                    ("response.custom_tool_call_input.done", "input")
                } else {
                    ("response.function_call_arguments.done", "arguments")
                };
                let echo = self.context.echo.take();
                self.event(name, index, out, |event, item| {
                    if let Body::Call { name, input, custom, .. } = &item.body {
                        if !custom {
                            let spaced = echo.as_ref().and_then(|echo| echo.spaced(name));
                            event.field("name", spaced.map_or(name, |spaced| &spaced.name));
                        }
                        event.field(member, input);
                    }
                });
                self.context.echo = echo;
            }
            Body::Message(_) | Body::Reasoning { .. } | Body::Whole(_) => {}
        }
        self.items[index].state = state;
        self.item_event("response.output_item.done", index, out);
    }
}

fn write_event(frame: &mut Vec<u8>, name: &str, number: u64, fill: impl FnOnce(&mut Object<'_>)) {
    frame.clear();
    for piece in ["event: ", name, "\ndata: "] {
        frame.extend_from_slice(piece.as_bytes());
    }
    Object::write(frame, |event| {
        event.field("type", name);
        event.field("sequence_number", &number);
        fill(event);
    });
    frame.extend_from_slice(b"\n\n");
}

fn is_object(input: &str) -> bool {
    input.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(input).is_ok()
}
