//! A client's request into the canonical model. Every fault names its field as the client wrote it.

use steelyard_core::ApiError;

use crate::chat::{ChatRequest, Extra, Json, ResponseFormat};
use crate::dialect::Dialect;
use crate::json::{Fault, Fields, elements, string, utf8};
use crate::openai_responses::request::{items, tools};
use crate::places::{Places, Word};

pub(crate) fn decode(body: &[u8]) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, read)?)
}

/// What the wire calls otherwise than the canonical model.
const WORDS: &[Word] = &[
    ("logprobs", "include"),
    ("reasoning_effort", "reasoning.effort"),
    ("response_format", "text.format"),
    ("verbosity", "text.verbosity"),
];

fn read(mut fields: Fields<'_, '_>) -> Result<ChatRequest, Fault> {
    let model = fields.need_text("model")?;
    if model.is_empty() {
        let at = fields.at.field("model");
        return Err(Fault::invalid(&at, "`model` is empty: name a route or a model"));
    }
    let mut places = Places::new(WORDS);
    let messages = items::decode(&mut fields, &mut places)?;
    let tools = tools::decode(&mut fields, &mut places)?;
    let tool_choice = tools::choice(&mut fields, &tools)?;
    let (response_format, verbosity) = text_options(&mut fields)?;
    let mut extra = Extra::new();
    let (logprobs, top_logprobs) = logprobs(&mut fields, &mut extra)?;
    let reasoning_effort = reasoning(&mut fields, &mut extra)?;
    let stream_extra = stream_options(&mut fields)?;
    let request = ChatRequest {
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        response_format,
        max_output_tokens: fields.count("max_output_tokens", 1, u64::MAX)?,
        temperature: fields.number("temperature", 0.0, 2.0)?,
        top_p: fields.number("top_p", 0.0, 1.0)?,
        logprobs,
        top_logprobs,
        user: fields.text("user")?.filter(|user| !user.is_empty()),
        safety_identifier: fields.text("safety_identifier")?.filter(|id| !id.is_empty()),
        metadata: object(&mut fields, "metadata")?.filter(|labels| !labels.is_empty()),
        reasoning_effort,
        verbosity,
        service_tier: fields.text("service_tier")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        // Every stream of this wire tells its usage.
        include_usage: true,
        stream_extra,
        prompt_cache_key: fields.text("prompt_cache_key")?,
        prompt_cache_retention: fields
            .text("prompt_cache_retention")?
            .filter(|word| !matches!(word.as_str(), "in_memory" | "in-memory")),
        origin: Some(Dialect::OpenAiResponses),
        places,
        ..ChatRequest::default()
    };
    defaults(&mut fields)?;
    extra.extend(fields.rest());
    Ok(ChatRequest { extra, ..request })
}

/// What is the default, or says what is so anyway, cannot be lost: nothing is stored, cut off or done in the background.
fn defaults(fields: &mut Fields<'_, '_>) -> Result<(), Fault> {
    for (name, word) in [("store", "false"), ("background", "false"), ("truncation", "\"disabled\"")] {
        fields.take_if(name, |raw| (raw.get() == word).then_some(()));
    }
    // `peek` has refused them, if they are not null.
    fields.take("previous_response_id");
    fields.take("conversation");
    if fields.has("store") {
        let at = fields.at.field("store");
        let raw = fields.take_if("store", |raw| (!matches!(raw.get(), "true" | "null")).then_some(raw));
        raw.map_or(Ok(()), |raw| Err(Fault::mistyped(&at, "a boolean", raw)))?;
    }
    Ok(())
}

fn object(fields: &mut Fields<'_, '_>, name: &str) -> Result<Option<Json>, Fault> {
    match fields.take(name) {
        None => Ok(None),
        Some(raw) if raw.get().starts_with('{') => Ok(Some(raw.into())),
        Some(raw) => Err(Fault::mistyped(&fields.at.field(name), "an object", raw)),
    }
}

/// Carries what is left of a member under the member's own name.
fn carry(extra: &mut Extra, name: &str, rest: &Extra) {
    if !rest.is_empty() {
        let text = serde_json::to_string(rest).expect("JSON serialises");
        extra.insert(name.to_owned(), Json::parse(text).expect("what was written as JSON is JSON"));
    }
}

/// The efforts, and the rest. A summary `auto` leaves it to the vendor whether its thoughts are shown, as everybody does.
fn reasoning(fields: &mut Fields<'_, '_>, extra: &mut Extra) -> Result<Option<String>, Fault> {
    let Some(raw) = fields.take("reasoning") else { return Ok(None) };
    let at = fields.at.field("reasoning");
    let mut reasoning = Fields::of(raw, &at)?;
    let effort = reasoning.text("effort")?;
    for name in ["summary", "generate_summary"] {
        reasoning.take_if(name, |raw| (raw.get() == "\"auto\"").then_some(()));
    }
    carry(extra, "reasoning", &reasoning.rest());
    Ok(effort)
}

fn stream_options(fields: &mut Fields<'_, '_>) -> Result<Extra, Fault> {
    let Some(raw) = fields.take("stream_options") else { return Ok(Extra::new()) };
    Ok(Fields::of(raw, &fields.at.field("stream_options"))?.rest())
}

/// Probabilities are asked for among what is to be included, or by a number of alternatives. Encrypted reasoning always is.
fn logprobs(fields: &mut Fields<'_, '_>, extra: &mut Extra) -> Result<(Option<bool>, Option<u64>), Fault> {
    let top = fields.count("top_logprobs", 0, 20)?;
    let mut asked = false;
    let mut more = Vec::new();
    if let Some(raw) = fields.take("include") {
        let at = fields.at.field("include");
        for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
            let word = string(raw).ok_or_else(|| Fault::mistyped(&at.index(index), "a string", raw))?;
            match &*word {
                "message.output_text.logprobs" => asked = true,
                "reasoning.encrypted_content" => {}
                _ => more.push(word.into_owned()),
            }
        }
    }
    if !more.is_empty() {
        let list = serde_json::to_string(&more).expect("strings serialise");
        extra.insert("include".to_owned(), Json::parse(list).expect("a list of strings is JSON"));
    }
    Ok((asked.then_some(true), top.filter(|top| asked && *top > 0)))
}

fn text_options(fields: &mut Fields<'_, '_>) -> Result<(Option<ResponseFormat>, Option<String>), Fault> {
    let Some(raw) = fields.take("text") else { return Ok((None, None)) };
    let at = fields.at.field("text");
    let mut text = Fields::of(raw, &at)?;
    let verbosity = text.text("verbosity")?.filter(|word| word != "medium");
    let Some(raw) = text.take("format") else { return Ok((None, verbosity)) };
    let at = at.field("format");
    let mut format = Fields::of(raw, &at)?;
    let format = match format.need_text("type")?.as_str() {
        // What is so anyway.
        "text" => None,
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => Some(ResponseFormat::JsonSchema {
            name: format.need_text("name")?,
            schema: object(&mut format, "schema")?,
            strict: format.flag("strict")?,
            description: format.text("description")?,
        }),
        other => {
            let at = at.field("type");
            let text = format!("`{at}` is `{other}`: expected text, json_object or json_schema");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok((format, verbosity))
}
