//! Whole answers, both ways.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;
use steelyard_core::Usage;

use crate::anthropic::citation::of_annotations;
use crate::bedrock::content::{Block, Blocks, Purpose, part};
use crate::bedrock::{facts, service_tier, usage};
use crate::chat::{ChatResponse, Choice, FinishReason, Media, Message, Part, Role};
use crate::dialect::{Dialect, ReplyContext};
use crate::error::WireError;
use crate::gemini::content::picture;
use crate::json::{At, Fault, Fields, Object, elements, utf8};

pub(crate) fn decode(body: &[u8]) -> Result<ChatResponse, WireError> {
    let mut fields = Fields::of_text(utf8(body)?, &At::Root)?;
    let at = At::Root.field("output");
    let Some(raw) = fields.take("output") else { return Err(facts::no_output(body)) };
    let mut output = Fields::of(raw, &at)?;
    let message = message(output.need("message")?, &at.field("message"))?;
    let calls = message.content.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let word = fields.text_or_leave("stopReason");
    let sequence = fields.take("additionalModelResponseFields").and_then(stop_sequence);
    let finish = finish_reason(word.as_deref().unwrap_or("end_turn"), sequence, calls);
    let intervened = finish == FinishReason::Guardrail;
    let (tier, performance) = (fields.take("serviceTier"), fields.take("performanceConfig"));
    Ok(ChatResponse {
        usage: fields.take("usage").and_then(|raw| usage::decode(raw.get(), intervened)),
        choices: vec![Choice { index: 0, message, finish, logprobs: None }],
        service_tier: facts::tier(tier, performance),
        ..ChatResponse::default()
    })
}

fn message(raw: &RawValue, at: &At<'_>) -> Result<Message, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let list = at.field("content");
    let content = elements(fields.need("content")?, &list)?
        .into_iter()
        .filter(|raw| !is_nothing(raw))
        .enumerate()
        .map(|(index, raw)| part(raw, &list.index(index)))
        .collect::<Result<_, Fault>>()?;
    fields.take("role");
    Ok(Message { role: Role::Assistant, name: None, content, extra: fields.rest() })
}

/// Null, or a union of which every member is null.
fn is_nothing(raw: &RawValue) -> bool {
    raw.get() == "null" || Fields::of(raw, &At::Root).is_ok_and(|fields| fields.rest().is_empty())
}

/// Which stop text it was: Claude says so where a request asks for `/stop_sequence`.
pub(crate) fn stop_sequence(raw: &RawValue) -> Option<String> {
    Fields::of(raw, &At::Root).ok()?.text_or_leave("stop_sequence")
}

/// A turn that calls tools waits for them, whatever word the model's vendor has for it.
pub(crate) fn finish_reason(word: &str, sequence: Option<String>, calls: bool) -> FinishReason {
    match FinishReason::from_bedrock(word) {
        FinishReason::Stop if calls => FinishReason::ToolCalls,
        FinishReason::StopSequence(_) => FinishReason::StopSequence(sequence),
        reason => reason,
    }
}

pub(crate) fn encode(response: &ChatResponse, context: &ReplyContext) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let choice = response.choices.first();
    let finish = choice.map_or(&FinishReason::Stop, |choice| &choice.finish);
    let mut blocks = Blocks::new(Purpose::Answer);
    let parts = choice.map(|choice| cited(&choice.message)).unwrap_or_default();
    let content: Vec<Block<'_>> = parts.iter().filter_map(|part| blocks.block(part, &String::new)).collect();
    Object::write(&mut out, |body| {
        body.object("output", |output| {
            output.object("message", |message| {
                message.field("role", "assistant");
                message.objects("content", &content, |object, block| block.write(object));
            });
        });
        body.field("stopReason", finish.to_bedrock());
        write_usage(body, response.usage.as_ref());
        write_metrics(body, context.elapsed_ms);
        write_stop_sequence(body, finish);
        write_tier(body, response.service_tier.as_deref());
    });
    Bytes::from(out)
}

/// The parts of an answer. Chat Completions cites beside the text, Bedrock within it.
fn cited(message: &Message) -> Cow<'_, [Part]> {
    let mut parts = Cow::Borrowed(message.content.as_slice());
    if parts.iter().any(|part| shown(part).is_some()) {
        parts = parts.iter().map(|part| shown(part).unwrap_or_else(|| part.clone())).collect();
    }
    let more = message.extra.get("annotations").map(of_annotations).unwrap_or_default();
    let last = parts.iter().rposition(|part| matches!(part, Part::Text { .. }));
    if let (Some(last), false) = (last, more.is_empty())
        && let Some(Part::Text { citations, .. }) = parts.to_mut().get_mut(last)
    {
        citations.extend(more);
    }
    parts
}

/// A picture of Gemini's, which it shows in a part of its own.
fn shown(part: &Part) -> Option<Part> {
    let Part::Foreign { dialect: Dialect::GeminiGenerate, block, .. } = part else { return None };
    let (media_type, data) = picture(block)?;
    Some(Part::Image { source: Media::Inline { media_type, data }, detail: None })
}

/// The member is required, so that clients read it unasked: it is there, with zeros, also where the vendor told nothing.
pub(crate) fn write_usage(object: &mut Object<'_>, used: Option<&Usage>) {
    object.object("usage", |object| usage::encode(used.unwrap_or(&Usage::ZERO), object));
}

pub(crate) fn write_metrics(object: &mut Object<'_>, elapsed_ms: u64) {
    object.object("metrics", |metrics| metrics.field("latencyMs", &elapsed_ms));
}

pub(crate) fn write_stop_sequence(object: &mut Object<'_>, finish: &FinishReason) {
    if let FinishReason::StopSequence(Some(sequence)) = finish {
        object.object("additionalModelResponseFields", |fields| fields.field("stop_sequence", sequence));
    }
}

pub(crate) fn write_tier(object: &mut Object<'_>, tier: Option<&str>) {
    if let Some(latency) = tier.and_then(facts::latency) {
        object.object("performanceConfig", |object| object.field("latency", latency));
    }
    if let Some(tier) = tier.and_then(service_tier) {
        object.object("serviceTier", |object| object.field("type", tier));
    }
}
