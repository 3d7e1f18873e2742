//! Whole answers, both ways.
//!
//! Vendors' habits that are evened out: content as a list of parts (Mistral), reasoning under two names, the
//! finish reason `stop` beside tool calls, calls without ids, arguments as an object (Ollama's older servers).

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::{
    ChatResponse, Choice, Citation, CitationPlace, FinishReason, Logprobs, Message, Part, Role, ToolCall,
    ToolInput,
};
use crate::dialect::ReplyContext;
use crate::error::WireError;
use crate::json::{At, Fault, Fields, Object, compact, elements, string, utf8};
use crate::openai_chat::details::Thought;
use crate::openai_chat::request::encode::{reasoning as write_reasoning, said};
use crate::openai_chat::{details, facts, usage};

pub(crate) fn decode(body: &[u8]) -> Result<ChatResponse, WireError> {
    let mut fields = Fields::of_text(utf8(body)?, &At::Root)?;
    if let Some(fault) = fields.take("error").and_then(facts::fault) {
        return Err(WireError::Upstream(fault));
    }
    let list = At::Root.field("choices");
    let choices = fields.need("choices").map_err(|missing| match facts::fault_of_body(body) {
        Some(fault) => WireError::Upstream(fault),
        None => missing.into(),
    })?;
    let raws = elements(choices, &list)?;
    let choices = raws
        .into_iter()
        .filter(|raw| raw.get() != "null")
        .enumerate()
        .map(|(number, raw)| choice(raw, &list.index(number), number))
        .collect::<Result<_, Fault>>()?;
    Ok(ChatResponse {
        id: fields.text_or_leave("id"),
        model: fields.text_or_leave("model").unwrap_or_default(),
        created: fields.take("created").and_then(seconds),
        choices,
        usage: fields.take("usage").and_then(|raw| usage::decode(raw.get())),
        service_tier: fields.text_or_leave("service_tier"),
        geo: None,
        system_fingerprint: fields.text_or_leave("system_fingerprint"),
    })
}

/// Some servers write a float.
fn seconds(raw: &RawValue) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, as wanted")]
    raw.get().parse::<f64>().ok().map(|seconds| seconds as i64)
}

fn choice(raw: &RawValue, at: &At<'_>, number: usize) -> Result<Choice, Fault> {
    let mut fields = Fields::of(raw, at)?;
    // A choice without a message says nothing, which a filter may be the reason of.
    let message = fields.take("message").map(|raw| message(raw, &at.field("message"))).transpose()?;
    let message = message.unwrap_or_else(|| Message { role: Role::Assistant, ..Message::default() });
    let calls = message.content.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = fields.text_or_leave("finish_reason");
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Choice {
        index: fields.opt("index", "a whole number")?.unwrap_or(number),
        message,
        finish: finish_reason(finish.as_deref().unwrap_or("stop"), calls),
        logprobs: fields.opt::<Logprobs>("logprobs", "an object of token lists")?,
    })
}

/// A turn that calls tools waits for them, whatever word the vendor has for it.
pub(crate) fn finish_reason(word: &str, calls: bool) -> FinishReason {
    match FinishReason::from_openai(word) {
        FinishReason::Stop if calls => FinishReason::ToolCalls,
        reason => reason,
    }
}

fn message(raw: &RawValue, at: &At<'_>) -> Result<Message, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let mut content = Vec::new();
    content.extend(reasoning(&mut fields).into_iter().map(|thought| thought.part));
    if let Some(raw) = fields.take("content") {
        content.extend(pieces(raw).into_iter().map(Piece::into_part));
    }
    let refusal = fields.text_or_leave("refusal").filter(|text| !text.is_empty());
    content.extend(refusal.map(|text| Part::Refusal { text }));
    if let Some(raw) = fields.take("tool_calls") {
        let list = at.field("tool_calls");
        let raws = elements(raw, &list)?.into_iter().filter(|raw| raw.get() != "null");
        for (number, raw) in raws.enumerate() {
            content.push(Part::ToolCall(tool_call(raw, &list.index(number), number)?));
        }
    }
    if let Some(raw) = fields.take("function_call") {
        let at = at.field("function_call");
        let mut call = Fields::of(raw, &at)?;
        let name = call.need_text("name")?;
        content.push(Part::ToolCall(ToolCall { id: call_id(0), name, input: arguments(&mut call) }));
    }
    fields.take("role");
    Ok(Message { role: Role::Assistant, name: None, content, extra: fields.rest() })
}

/// What the model thought: the details say most, the two names for the text alone say the same once more.
pub(crate) fn reasoning(fields: &mut Fields<'_, '_>) -> Vec<Thought> {
    let [newer, older] = ["reasoning_content", "reasoning"].map(|name| fields.text_or_leave(name));
    let at = fields.at.field("reasoning_details");
    if let Some(thoughts) = fields.take_if("reasoning_details", |raw| details::decode(raw, &at)) {
        return thoughts;
    }
    let text = newer.or(older).filter(|text| !text.is_empty());
    text.map(|text| Thought::first(Part::reasoning(text))).into_iter().collect()
}

/// The id of a call whose vendor gives none.
pub(crate) fn call_id(number: usize) -> String {
    format!("call_{number}")
}

fn tool_call(raw: &RawValue, at: &At<'_>, number: usize) -> Result<ToolCall, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let id = fields.text_or_leave("id").filter(|id| !id.is_empty()).unwrap_or_else(|| call_id(number));
    if let Some(raw) = fields.take("custom") {
        let at = at.field("custom");
        let mut call = Fields::of(raw, &at)?;
        let name = call.need_text("name")?;
        return Ok(ToolCall { id, name, input: ToolInput::Text(call.text("input")?.unwrap_or_default()) });
    }
    let inner = at.field("function");
    let mut call = Fields::of(fields.need("function")?, &inner)?;
    Ok(ToolCall { id, name: call.need_text("name")?, input: arguments(&mut call) })
}

fn arguments(call: &mut Fields<'_, '_>) -> ToolInput {
    ToolInput::Arguments(call.take("arguments").map(argument_text).unwrap_or_default())
}

/// Arguments are a string that holds JSON; where a vendor sends the JSON itself, it is that string.
pub(crate) fn argument_text(raw: &RawValue) -> String {
    string(raw).unwrap_or_else(|| compact(raw.get())).into_owned()
}

/// A piece of `content`.
pub(crate) enum Piece {
    /// Text.
    Text(String),
    /// Mistral's `thinking` part.
    Reasoning(String),
    /// A refusal part.
    Refusal(String),
}

impl Piece {
    fn into_part(self) -> Part {
        match self {
            Self::Text(text) => Part::text(text),
            Self::Reasoning(text) => Part::reasoning(text),
            Self::Refusal(text) => Part::Refusal { text },
        }
    }
}

/// The pieces of a `content` that is a string or a list of parts. Parts of other kinds hold no words.
pub(crate) fn pieces(raw: &RawValue) -> Vec<Piece> {
    if let Some(text) = string(raw) {
        return if text.is_empty() { Vec::new() } else { vec![Piece::Text(text.into_owned())] };
    }
    let at = At::Root;
    let Ok(raws) = elements(raw, &at) else { return Vec::new() };
    let mut found = Vec::new();
    for raw in raws {
        let Ok(mut part) = Fields::of(raw, &at) else { continue };
        match part.text_or_leave("type").as_deref() {
            Some("text") => found.extend(part.text_or_leave("text").map(Piece::Text)),
            Some("refusal") => found.extend(part.text_or_leave("refusal").map(Piece::Refusal)),
            Some("thinking") => {
                let inner = part.take("thinking").map(pieces).unwrap_or_default();
                found.extend(inner.into_iter().map(|piece| match piece {
                    Piece::Text(text) | Piece::Reasoning(text) | Piece::Refusal(text) => {
                        Piece::Reasoning(text)
                    }
                }));
            }
            _ => {}
        }
    }
    found
}

pub(crate) fn encode(response: &ChatResponse, context: &ReplyContext) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    Object::write(&mut out, |body| {
        body.field("id", &context.id);
        body.field("object", "chat.completion");
        body.field("created", &context.created);
        body.field("model", &context.model);
        body.objects("choices", &response.choices, write_choice);
        if let Some(used) = &response.usage {
            body.object("usage", |object| usage::encode(used, object));
        }
        body.opt("service_tier", response.service_tier.as_ref());
        body.opt("system_fingerprint", response.system_fingerprint.as_ref());
    });
    Bytes::from(out)
}

fn write_choice(object: &mut Object<'_>, choice: &Choice) {
    object.field("index", &choice.index);
    object.object("message", |message| {
        message.field("role", "assistant");
        write_content(message, &choice.message);
    });
    object.field("logprobs", &choice.logprobs);
    object.field("finish_reason", choice.finish.to_openai());
}

/// The content of an answer is one string or null, never parts, and `refusal` is always there.
fn write_content(object: &mut Object<'_>, message: &Message) {
    let mut text = String::new();
    let mut parts = Vec::new();
    for part in &message.content {
        match part {
            Part::Text { text: more, .. } => text.push_str(more),
            Part::Refusal { .. } | Part::ToolCall(_) => parts.push(part.clone()),
            // Thoughts have members of their own; for the rest the wire's answers have no place.
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::AudioRef { .. }
            | Part::File { .. }
            | Part::SearchResult { .. }
            | Part::Reasoning { .. }
            | Part::RedactedReasoning { .. }
            | Part::ToolResult(_)
            | Part::Json(_)
            | Part::CacheMark(_)
            | Part::Foreign { .. } => {}
        }
    }
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal { .. }));
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    if !text.is_empty() || !(refused || called) {
        parts.push(Part::text(text));
    }
    said(object, &Message { role: Role::Assistant, content: parts, ..Message::default() }, true);
    if !refused {
        object.null("refusal");
    }
    write_reasoning(object, message);
    details::encode(object, &message.content);
    annotations(object, message);
    // A vendor's nonsense under a name of the wire's own is not told beside what is.
    for (name, value) in message.extra.iter().filter(|(name, _)| !is_written(name, message)) {
        object.field(name, value);
    }
}

/// Whether a member has been written from what the message holds.
fn is_written(name: &str, message: &Message) -> bool {
    match name {
        "role" | "content" | "refusal" | "tool_calls" | "reasoning_content" | "reasoning_details" => true,
        "annotations" => message.content.iter().any(|part| match part {
            Part::Text { citations, .. } => {
                citations.iter().any(|citation| matches!(citation.place, CitationPlace::Web { .. }))
            }
            _ => false,
        }),
        _ => false,
    }
}

/// The web pages that the text cites; the wire has no word for other sources.
fn annotations(object: &mut Object<'_>, message: &Message) {
    let mut found = Vec::new();
    let mut length = 0;
    for part in &message.content {
        let Part::Text { text, citations, .. } = part else { continue };
        let start = length;
        length += text.chars().count();
        found.extend(citations.iter().map(|citation| (start, length, citation)));
    }
    found.retain(|(.., citation)| matches!(citation.place, CitationPlace::Web { .. }));
    if !found.is_empty() {
        object.objects("annotations", found, |object, (start, end, citation)| {
            annotation(object, start, end, citation);
        });
    }
}

/// One annotation: characters `start` to `end` of the text cite a page.
pub(crate) fn annotation(object: &mut Object<'_>, start: usize, end: usize, citation: &Citation) {
    let CitationPlace::Web { url, .. } = &citation.place else { return };
    object.field("type", "url_citation");
    object.object("url_citation", |cited| {
        cited.field("start_index", &start);
        cited.field("end_index", &end);
        cited.field("title", citation.title.as_deref().unwrap_or_default());
        cited.field("url", url);
    });
}
