//! Whole answers, both ways.

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use crate::chat::{
    ChatResponse, Choice, Citation, CitationPlace, FinishReason, Json, Logprobs, Message, Part, Role,
    TokenLogprob, ToolCall, ToolInput,
};
use crate::dialect::{Dialect, ReplyContext};
use crate::error::WireError;
use crate::event::StreamEvent;
use crate::json::{At, Fault, Fields, Object, elements, readable, utf8};
use crate::openai_chat::facts;
use crate::openai_responses::stream_encode::Encoder;
use crate::openai_responses::{opaque, usage};

pub(crate) fn decode(body: &[u8]) -> Result<ChatResponse, WireError> {
    let mut fields = Fields::of_text(utf8(body)?, &At::Root)?;
    if let Some(fault) = fields.take("error").and_then(facts::fault) {
        return Err(WireError::Upstream(fault));
    }
    let list = At::Root.field("output");
    let output = fields.need("output")?;
    let mut content = Vec::new();
    let mut logprobs = Vec::new();
    for (index, raw) in elements(output, &list)?.into_iter().enumerate() {
        item(raw, &list.index(index), &mut content, &mut logprobs)?;
    }
    let finish = finish(&mut fields, &content);
    let message = Message { role: Role::Assistant, content, ..Message::default() };
    let content = (!logprobs.is_empty()).then_some(logprobs);
    let logprobs = content.map(|content| Logprobs { content: Some(content), refusal: None });
    Ok(ChatResponse {
        id: fields.text_or_leave("id"),
        model: fields.text_or_leave("model").unwrap_or_default(),
        created: fields.take("created_at").and_then(|raw| raw.get().parse().ok()),
        choices: vec![Choice { index: 0, message, finish, logprobs }],
        usage: usage::decode(fields.take("usage"), Some(output)),
        service_tier: fields.text_or_leave("service_tier"),
        geo: None,
        system_fingerprint: None,
    })
}

/// Why it ended. `said`: what it says.
pub(super) fn finish(fields: &mut Fields<'_, '_>, said: &[Part]) -> FinishReason {
    let at = At::Root;
    let status = fields.text_or_leave("status");
    let details = fields.take("incomplete_details").and_then(|raw| Fields::of(raw, &at).ok());
    let reason = details.and_then(|mut details| details.text_or_leave("reason"));
    let is = |wanted: fn(&Part) -> bool| said.iter().any(wanted);
    match (status.as_deref(), reason) {
        (Some("incomplete"), Some(reason)) => FinishReason::from_responses(&reason),
        (Some(status @ ("incomplete" | "cancelled")), _) => FinishReason::Other(status.to_owned()),
        _ if is(|part| matches!(part, Part::ToolCall(_))) => FinishReason::ToolCalls,
        _ if is(|part| matches!(part, Part::Refusal { .. })) => FinishReason::Refusal,
        _ => FinishReason::Stop,
    }
}

/// Reads one item of an answer.
fn item(
    raw: &RawValue,
    at: &At<'_>,
    out: &mut Vec<Part>,
    logprobs: &mut Vec<TokenLogprob>,
) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.text_or_leave("type").unwrap_or_default();
    match kind.as_str() {
        "message" => {
            let place = at.field("content");
            let parts = fields.take("content").map(|raw| elements(raw, &place)).transpose()?;
            for raw in parts.unwrap_or_default() {
                let Ok(mut part) = Fields::of(raw, at) else { continue };
                if let Some(text) = part.text_or_leave("refusal") {
                    out.push(Part::Refusal { text });
                } else if let Some(text) = part.text_or_leave("text") {
                    let cited = part.take("annotations").map(|raw| annotations(raw, at));
                    let citations = cited.unwrap_or_default();
                    out.push(Part::Text { text, citations, extra: crate::chat::Extra::new() });
                    let tokens = part.take("logprobs").map(|raw| serde_json::from_str(raw.get()));
                    logprobs.extend(tokens.and_then(Result::ok).unwrap_or_else(Vec::new));
                }
            }
        }
        "function_call" | "custom_tool_call" => out.push(Part::ToolCall(call(&kind, &mut fields)?)),
        "reasoning" => {
            let mut said = texts(&mut fields, "summary");
            said.extend(texts(&mut fields, "content"));
            let encrypted = fields.text_or_leave("encrypted_content");
            out.extend(opaque::parts(said, encrypted.as_deref()));
        }
        _ => {
            out.push(Part::Foreign { dialect: Dialect::OpenAiResponses, kind, block: Json::from(raw) });
        }
    }
    Ok(())
}

/// A call, by the kind of its item.
pub(super) fn call(kind: &str, fields: &mut Fields<'_, '_>) -> Result<ToolCall, Fault> {
    let name = fields.need_text("name")?;
    let id = fields.text_or_leave("call_id").or_else(|| fields.text_or_leave("id")).unwrap_or_default();
    let input = if kind == "custom_tool_call" {
        ToolInput::Text(fields.text_or_leave("input").unwrap_or_default())
    } else {
        ToolInput::Arguments(fields.text_or_leave("arguments").unwrap_or_default())
    };
    Ok(ToolCall { id, name, input })
}

/// The texts of a member that is a list of parts.
pub(super) fn texts(fields: &mut Fields<'_, '_>, name: &str) -> Vec<String> {
    let at = fields.at.field(name);
    let parts = fields.take(name).and_then(|raw| elements(raw, &at).ok()).unwrap_or_default();
    let text = |(index, raw)| {
        let at = at.index(index);
        let mut part = Fields::of(raw, &at).ok()?;
        part.take("type");
        part.text_or_leave("text").filter(|text| !text.is_empty())
    };
    parts.into_iter().enumerate().filter_map(text).collect()
}

/// The web pages among the annotations of a text.
pub(super) fn annotations(raw: &RawValue, at: &At<'_>) -> Vec<Citation> {
    readable(raw, at, annotation)
}

pub(super) fn annotation(raw: &RawValue, at: &At<'_>) -> Option<Citation> {
    let mut fields = Fields::of(raw, at).ok()?;
    fields.text_or_leave("type").filter(|kind| kind == "url_citation")?;
    // A citation is of its whole text.
    fields.take("start_index");
    fields.take("end_index");
    let place = CitationPlace::Web { url: fields.text_or_leave("url")?, encrypted_index: None };
    let title = fields.text_or_leave("title").filter(|title| !title.is_empty());
    Some(Citation { title, cited_text: None, place })
}

pub(crate) fn encode(response: &ChatResponse, context: &ReplyContext) -> Bytes {
    let mut encoder = Encoder::silent(context.clone());
    let mut none = BytesMut::new();
    let (id, model) = (None, None);
    let (service_tier, system_fingerprint) = (response.service_tier.clone(), None);
    encoder.push(&StreamEvent::Start { id, model, service_tier, system_fingerprint }, &mut none);
    // The wire has one answer for a call.
    if let Some(choice) = response.choices.first() {
        events(choice, &mut |event| encoder.push(&event, &mut none));
    }
    if let Some(used) = response.usage {
        encoder.push(&StreamEvent::Usage(used), &mut none);
    }
    let mut out = Vec::with_capacity(2048);
    Object::write(&mut out, |object| encoder.write(object));
    Bytes::from(out)
}

/// How many tokens a request would have.
pub(crate) fn tokens(input_tokens: u64) -> Bytes {
    let mut out = Vec::with_capacity(64);
    Object::write(&mut out, |body| {
        body.field("object", "response.input_tokens");
        body.field("input_tokens", &input_tokens);
    });
    Bytes::from(out)
}

/// An answer as the events in which it could have come.
fn events(answer: &Choice, each: &mut impl FnMut(StreamEvent)) {
    let choice = 0;
    let mut calls = 0;
    let mut annotations = answer.message.extra.get("annotations").cloned();
    let last = answer.message.content.iter().rposition(|part| matches!(part, Part::Text { .. }));
    for (number, part) in answer.message.content.iter().enumerate() {
        match part {
            Part::Text { text, citations, .. } => {
                each(StreamEvent::Text { choice, text: text.clone() });
                for citation in citations {
                    each(StreamEvent::Citation { choice, citation: citation.clone() });
                }
                // Chat Completions names its sources beside the text.
                if let Some(annotations) = annotations.take_if(|_| Some(number) == last) {
                    each(StreamEvent::Annotations { choice, annotations });
                }
            }
            Part::Refusal { text } => each(StreamEvent::Refusal { choice, text: text.clone() }),
            Part::Reasoning { text, signature } => {
                each(StreamEvent::Reasoning { choice, text: text.clone() });
                if let Some(signature) = signature.clone() {
                    each(StreamEvent::ReasoningSignature { choice, signature });
                }
            }
            Part::RedactedReasoning { data } => {
                each(StreamEvent::RedactedReasoning { choice, data: data.clone() });
            }
            Part::ToolCall(call) => {
                let (text, custom) = match &call.input {
                    ToolInput::Arguments(text) => (text.clone(), false),
                    ToolInput::Text(text) => (text.clone(), true),
                };
                let (id, name) = (call.id.clone(), call.name.clone());
                each(StreamEvent::ToolCallStart { choice, call: calls, id, name, custom });
                each(StreamEvent::ToolCallArguments { choice, call: calls, text });
                calls += 1;
            }
            Part::Foreign { dialect, kind, block } => {
                let (kind, block) = (kind.clone(), block.clone());
                each(StreamEvent::Foreign { choice, dialect: *dialect, kind, block });
            }
            // For these the wire's answers have no place.
            Part::Image { .. }
            | Part::Audio { .. }
            | Part::AudioRef { .. }
            | Part::File { .. }
            | Part::SearchResult { .. }
            | Part::ToolResult(_)
            | Part::Json(_)
            | Part::CacheMark(_) => continue,
        }
        each(StreamEvent::PartEnd { choice });
    }
    if let Some(annotations) = annotations {
        each(StreamEvent::Annotations { choice, annotations });
    }
    if let Some(logprobs) = answer.logprobs.clone() {
        each(StreamEvent::Logprobs { choice, logprobs });
    }
    each(StreamEvent::Finish { choice, reason: answer.finish.clone() });
}
