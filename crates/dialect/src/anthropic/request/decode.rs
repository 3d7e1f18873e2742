//! A client's request into the canonical model. Every fault names its field as the client wrote it.
//!
//! The messages of a request begin, in the canonical model, with the system prompt, if there is one. Members that
//! are no part of the reference (betas come and go) are kept, never refused.

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::anthropic::request::{blocks, headers, messages, tools};
use crate::anthropic::{STRICT_VERSION, facts};
use crate::chat::{
    CacheTtl, ChatRequest, Extra, Json, Message, Part, ResponseFormat, Role, Thinking, ThinkingMode,
};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, Object, utf8};
use crate::peek::Outside;
use crate::places::{Place, Places, Word};

pub(crate) fn decode(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, |fields| read(fields, outside, false))?)
}

/// A body whose tokens are to be counted, which has no cap.
pub(crate) fn decode_to_count(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, |fields| read(fields, outside, true))?)
}

/// What the wire calls otherwise than the canonical model.
const WORDS: &[Word] = &[
    ("max_output_tokens", "max_tokens"),
    ("stop", "stop_sequences"),
    ("user", "metadata.user_id"),
    ("reasoning_effort", "output_config.effort"),
    ("response_format", "output_config.format"),
    ("parallel_tool_calls", "tool_choice.disable_parallel_tool_use"),
];

fn read(mut fields: Fields<'_, '_>, outside: &Outside<'_>, count_only: bool) -> Result<ChatRequest, Fault> {
    let strict = outside.version == Some(STRICT_VERSION);
    if strict {
        refuse_sampling(&mut fields)?;
    }
    let model = model(&mut fields, outside)?;
    // The version in a body is that of Bedrock and Vertex; Steelyard chooses its own upstream.
    fields.take("anthropic_version");
    let cap = fields.count("max_tokens", 0, u64::MAX)?;
    if cap.is_none() && !count_only {
        return Err(Fault::missing(&fields.at.field("max_tokens")));
    }
    let mut places = Places::new(WORDS);
    let mut conversation = system(&mut fields, &mut places)?;
    messages::decode(&mut fields, strict, &mut conversation, &mut places)?;
    mark_last(&mut fields, &mut conversation, &mut places)?;
    let tools = tools::decode(&mut fields, &mut places)?;
    let (tool_choice, parallel_tool_calls) = tools::choice(&mut fields, &tools)?;
    let output = output(&mut fields, &mut places)?;
    let (user, metadata) = metadata(&mut fields)?;
    // What is the default of every wire cannot be lost.
    fields.take_if("speed", |raw| (raw.get() == "\"standard\"").then_some(()));
    let mut request = ChatRequest {
        model,
        messages: conversation,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format: output.format,
        max_output_tokens: cap,
        temperature: fields.number("temperature", 0.0, 1.0)?,
        top_p: fields.number("top_p", 0.0, 1.0)?,
        top_k: fields.count("top_k", 0, u64::MAX)?,
        stop: fields.opt("stop_sequences", "an array of strings")?.unwrap_or_default(),
        user,
        metadata,
        reasoning_effort: output.effort,
        thinking: thinking(&mut fields)?,
        service_tier: fields.text("service_tier")?,
        stream: fields.flag("stream")?.unwrap_or(false) || outside.stream,
        include_usage: true,
        origin: Some(Dialect::AnthropicMessages),
        places,
        ..ChatRequest::default()
    };
    request.extra = fields.rest();
    if let Some(rest) = as_object(&output.rest) {
        request.extra.insert("output_config".into(), rest);
    }
    if let Some(headers) = outside.headers {
        headers::decode(headers, &mut request);
    }
    Ok(request)
}

fn model(fields: &mut Fields<'_, '_>, outside: &Outside<'_>) -> Result<String, Fault> {
    if let Some(model) = outside.model {
        fields.take("model");
        return Ok(model.to_owned());
    }
    let model = fields.need_text("model")?;
    if model.is_empty() {
        let at = fields.at.field("model");
        return Err(Fault::invalid(&at, "`model` is empty: name a route or a model"));
    }
    Ok(model)
}

fn refuse_sampling(fields: &mut Fields<'_, '_>) -> Result<(), Fault> {
    for name in ["temperature", "top_p", "top_k"] {
        if fields.take(name).is_some() {
            let text = format!(
                "`{name}` is no field of anthropic-version {STRICT_VERSION}: leave it out, or send version 2023-06-01"
            );
            return Err(Fault::invalid(&fields.at.field(name), text));
        }
    }
    Ok(())
}

/// The system prompt, as one message.
fn system(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Message>, Fault> {
    let Some(raw) = fields.take("system") else { return Ok(Vec::new()) };
    let at = fields.at.field("system");
    let content = blocks::texts(raw, &at)?;
    if content.is_empty() {
        return Ok(Vec::new());
    }
    places.message(&at, blocks::places(&content, &at, raw));
    Ok(vec![Message { role: Role::System, content, ..Message::default() }])
}

/// A mark at the top level stands for one on the last block.
fn mark_last(
    fields: &mut Fields<'_, '_>,
    conversation: &mut [Message],
    places: &mut Places,
) -> Result<(), Fault> {
    let Some(raw) = fields.take("cache_control") else { return Ok(()) };
    let at = fields.at.field("cache_control");
    let ttl = cache_ttl(raw, &at)?;
    if let Some(last) = conversation.last_mut()
        && !matches!(last.content.last(), None | Some(Part::CacheMark(_)))
    {
        last.content.push(Part::CacheMark(ttl));
        places.part(Place::new(&at, ""));
    }
    Ok(())
}

/// The lifetime of a `cache_control`.
pub(super) fn cache_ttl(raw: &RawValue, at: &At<'_>) -> Result<CacheTtl, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    if kind != "ephemeral" {
        let at = at.field("type");
        return Err(Fault::invalid(&at, format!("`{at}` is `{kind}`: expected ephemeral")));
    }
    match fields.text("ttl")?.as_deref() {
        None | Some("5m") => Ok(CacheTtl::FiveMinutes),
        Some("1h") => Ok(CacheTtl::OneHour),
        Some(other) => {
            let at = at.field("ttl");
            Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected 5m or 1h")))
        }
    }
}

fn thinking(fields: &mut Fields<'_, '_>) -> Result<Option<Thinking>, Fault> {
    /// Less is no thought (Anthropic, "Extended thinking").
    const LEAST: u64 = 1_024;
    let Some(raw) = fields.take("thinking") else { return Ok(None) };
    let at = fields.at.field("thinking");
    let mut thinking = Fields::of(raw, &at)?;
    let mode = match thinking.need_text("type")?.as_str() {
        "enabled" => {
            let budget = thinking.count("budget_tokens", LEAST, u64::MAX)?;
            ThinkingMode::Budget(budget.ok_or_else(|| Fault::missing(&at.field("budget_tokens")))?)
        }
        "adaptive" => ThinkingMode::Adaptive,
        "disabled" => ThinkingMode::Disabled,
        "between_tools" => ThinkingMode::BetweenTools,
        other => {
            let at = at.field("type");
            let text = format!("`{at}` is `{other}`: expected adaptive, enabled, between_tools or disabled");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok(Some(Thinking { mode, display: thinking.text("display")? }))
}

/// What `output_config` and its older form say.
#[derive(Default)]
struct Output {
    effort: Option<String>,
    format: Option<ResponseFormat>,
    rest: Extra,
}

fn output(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Output, Fault> {
    let at = fields.at.field("output_format");
    let older = fields.take("output_format").map(|raw| format(raw, &at));
    let older = older.transpose()?;
    if older.is_some() {
        places.word("response_format", "output_format");
    }
    let Some(raw) = fields.take("output_config") else {
        return Ok(Output { format: older, ..Output::default() });
    };
    let at = fields.at.field("output_config");
    let mut config = Fields::of(raw, &at)?;
    let effort = config.text("effort")?;
    let newer = config.take("format").map(|raw| format(raw, &at.field("format"))).transpose()?;
    Ok(Output { effort, format: newer.or(older), rest: config.rest() })
}

fn format(raw: &RawValue, at: &At<'_>) -> Result<ResponseFormat, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    if kind != "json_schema" {
        let at = at.field("type");
        return Err(Fault::invalid(&at, format!("`{at}` is `{kind}`: expected json_schema")));
    }
    let schema = fields.need("schema")?;
    if !schema.get().starts_with('{') {
        return Err(Fault::mistyped(&at.field("schema"), "an object", schema));
    }
    // This wire gives a schema no name; others want one.
    let name = "output".to_owned();
    Ok(ResponseFormat::JsonSchema { name, schema: Some(schema.into()), strict: None, description: None })
}

/// The end user, and what else there is.
fn metadata(fields: &mut Fields<'_, '_>) -> Result<(Option<String>, Option<Json>), Fault> {
    let Some(raw) = fields.take("metadata") else { return Ok((None, None)) };
    let at = fields.at.field("metadata");
    let mut metadata = Fields::of(raw, &at)?;
    let user = metadata.text("user_id")?;
    Ok((user, as_object(&metadata.rest())))
}

/// The members as an object; none if there are none.
pub(super) fn as_object(members: &Extra) -> Option<Json> {
    if members.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    Object::write(&mut out, |object| object.extra(members));
    facts::json(out)
}
