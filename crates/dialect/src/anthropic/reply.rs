//! Whole answers, both ways.

use bytes::Bytes;
use steelyard_core::Usage;

use crate::anthropic::request::blocks::{self, Side};
use crate::anthropic::request::parts::write_part;
use crate::anthropic::usage::Served;
use crate::anthropic::{citation, facts, usage};
use crate::chat::{ChatResponse, Choice, Citation, FinishReason, Json, Message, Part, Role};
use crate::dialect::{Dialect, ReplyContext};
use crate::error::WireError;
use crate::json::{At, Fields, Object, utf8};
use crate::openai_chat::facts::fault;

/// Why the model stopped, in the vendor's words, kept for clients of this wire.
const STOP_DETAILS: &str = "stop_details";

pub(crate) fn decode(body: &[u8]) -> Result<ChatResponse, WireError> {
    let mut fields = Fields::of_text(utf8(body)?, &At::Root)?;
    if let Some(fault) = fields.take("error").and_then(fault) {
        return Err(WireError::Upstream(fault));
    }
    let at = At::Root.field("content");
    let content = blocks::decode(fields.need("content")?, &at, Side::Assistant { strict: false })?;
    let mut message = Message { role: Role::Assistant, content, ..Message::default() };
    if let Some(details) = fields.json(STOP_DETAILS) {
        message.content.extend(explanation(&details).map(|text| Part::Refusal { text }));
        message.extra.insert(STOP_DETAILS.into(), details);
    }
    let word = fields.text_or_leave("stop_reason");
    let finish = FinishReason::from_anthropic(
        word.as_deref().unwrap_or("end_turn"),
        fields.text_or_leave("stop_sequence"),
    );
    let used = fields.take("usage");
    let Served { tier, geo } = used.map(|raw| usage::served(raw.get())).unwrap_or_default();
    Ok(ChatResponse {
        id: fields.text_or_leave("id"),
        model: fields.text_or_leave("model").unwrap_or_default(),
        choices: vec![Choice { index: 0, message, finish, logprobs: None }],
        usage: used.and_then(|raw| usage::decode(raw.get())),
        service_tier: tier,
        geo,
        ..ChatResponse::default()
    })
}

/// The text in which the vendor explains a refusal.
pub(crate) fn explanation(details: &Json) -> Option<String> {
    let at = At::Root;
    facts::text(Fields::of(details.raw(), &at).ok()?.take("explanation"))
}

pub(crate) fn encode(response: &ChatResponse, context: &ReplyContext) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let choice = response.choices.first();
    let parts: &[Part] = choice.map_or(&[], |choice| &choice.message.content);
    let finish = choice.map_or(&FinishReason::Stop, |choice| &choice.finish);
    let used = response.usage.unwrap_or_default();
    Object::write(&mut out, |body| {
        head(body, context);
        // Chat Completions cites beside the text, Anthropic within it.
        let cited = choice.and_then(|choice| choice.message.extra.get("annotations"));
        let cited = cited.map(citation::of_annotations).unwrap_or_default();
        let last = parts.iter().rposition(|part| matches!(part, Part::Text { .. }));
        let blocks = parts.iter().enumerate().filter(|(_, part)| is_block(part, finish));
        body.objects("content", blocks, |object, (number, part)| {
            write_block(object, part, if Some(number) == last { &cited } else { &[] });
        });
        let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
        let refused = parts.iter().find_map(|part| match part {
            Part::Refusal { text } => Some(text.as_str()),
            _ => None,
        });
        let details = choice.and_then(|choice| choice.message.extra.get(STOP_DETAILS));
        stop(body, finish, called, refused, details);
        body.object("usage", |object| usage::encode(&used, response.service_tier.as_deref(), object));
    });
    Bytes::from(out)
}

/// Writes the members that a message begins with. Shared with streams.
pub(crate) fn head(body: &mut Object<'_>, context: &ReplyContext) {
    body.field("id", &context.id);
    body.field("type", "message");
    body.field("role", "assistant");
    body.field("model", &context.model);
}

/// Writes the beginning of a stream's message.
pub(crate) fn write_start(
    body: &mut Object<'_>,
    context: &ReplyContext,
    used: &Usage,
    service_tier: Option<&str>,
) {
    head(body, context);
    body.objects("content", std::iter::empty::<()>(), |_, ()| {});
    body.null("stop_reason");
    body.null("stop_sequence");
    body.object("usage", |object| usage::encode_start(used, service_tier, object));
}

/// Writes why the model stopped. `refused` is what it said instead of an answer. Shared with streams.
pub(crate) fn stop(
    object: &mut Object<'_>,
    finish: &FinishReason,
    called: bool,
    refused: Option<&str>,
    details: Option<&Json>,
) {
    // One that is the answer has been told as its text.
    let explained = refused.filter(|text| *finish == FinishReason::Refusal && !text.is_empty());
    let finish = match finish {
        FinishReason::Stop if called => &FinishReason::ToolCalls,
        FinishReason::Stop if refused.is_some() => &FinishReason::Refusal,
        finish => finish,
    };
    object.field("stop_reason", finish.to_anthropic());
    match finish {
        FinishReason::StopSequence(Some(sequence)) => object.field("stop_sequence", sequence),
        _ => object.null("stop_sequence"),
    }
    match (details, explained) {
        (Some(details), _) => object.field(STOP_DETAILS, details),
        (None, Some(text)) => object.object(STOP_DETAILS, |details| {
            details.field("type", "refusal");
            details.null("category");
            details.field("explanation", text);
        }),
        (None, None) => {}
    }
}

/// Whether a part is a block of this wire. A refusal that ended the answer is told beside the content; one that is
/// the answer is its text.
fn is_block(part: &Part, finish: &FinishReason) -> bool {
    match part {
        Part::Text { text, .. } => !text.is_empty(),
        Part::Refusal { text } => *finish != FinishReason::Refusal && !text.is_empty(),
        Part::Reasoning { .. } | Part::RedactedReasoning { .. } | Part::ToolCall(_) => true,
        Part::Foreign { dialect, .. } => *dialect == Dialect::AnthropicMessages,
        Part::Image { .. }
        | Part::Audio { .. }
        | Part::AudioRef { .. }
        | Part::File { .. }
        | Part::SearchResult { .. }
        | Part::ToolResult(_)
        | Part::Json(_)
        | Part::CacheMark(_) => false,
    }
}

/// `cited` is what the text cites besides its own sources.
fn write_block(object: &mut Object<'_>, part: &Part, cited: &[Citation]) {
    // To a client every source is told, also those that no vendor takes back.
    if let Part::Text { text, citations, .. } = part {
        object.field("type", "text");
        object.field("text", text);
        if !citations.is_empty() || !cited.is_empty() {
            let all = citations.iter().chain(cited);
            object.objects("citations", all, |object, citation| citation::encode(citation, object));
        }
        return;
    }
    write_part(object, part);
}
