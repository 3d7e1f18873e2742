//! A client's request into the canonical model. Every fault names its field as the client wrote it.

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::chat::{ChatRequest, Extra, ResponseFormat, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, elements, string, utf8};
use crate::openai_chat::request::{messages, order};
use crate::places::{Place, Places, Word};

pub(crate) fn decode(body: &[u8]) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, read)?)
}

/// What the wire calls otherwise than the canonical model.
const WORDS: &[Word] = &[
    ("max_output_tokens", "max_completion_tokens"),
    ("response_format.description", "response_format.json_schema.description"),
];

fn read(mut fields: Fields<'_, '_>) -> Result<ChatRequest, Fault> {
    let (stream_options, stream_extra) = stream_options(&mut fields)?;
    let model = fields.need_text("model")?;
    if model.is_empty() {
        let at = fields.at.field("model");
        return Err(Fault::invalid(&at, "`model` is empty: name a route or a model"));
    }
    let mut places = Places::new(WORDS);
    let messages = messages::decode(&mut fields, &mut places)?;
    order::check(&messages)?;
    let tools = tools(&mut fields, &mut places)?;
    let tool_choice = tool_choice(&mut fields, &tools, &mut places)?;
    let logprobs = fields.flag("logprobs")?;
    let request = ChatRequest {
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        response_format: response_format(&mut fields)?,
        max_output_tokens: max_output_tokens(&mut fields, &mut places)?,
        temperature: fields.number("temperature", 0.0, 2.0)?,
        top_p: fields.number("top_p", 0.0, 1.0)?,
        top_k: None,
        stop: stop(&mut fields)?,
        choices: fields.count("n", 1, 128)?,
        logprobs,
        top_logprobs: fields
            .count("top_logprobs", 0, 20)?
            .filter(|count| *count > 0 || logprobs == Some(true)),
        seed: fields.opt("seed", "a whole number")?,
        // Many tools write out what is the default of every wire; no other wire could lose it.
        presence_penalty: fields.number("presence_penalty", -2.0, 2.0)?.filter(|much| much.abs() > 0.0),
        frequency_penalty: fields.number("frequency_penalty", -2.0, 2.0)?.filter(|much| much.abs() > 0.0),
        logit_bias: object(&mut fields, "logit_bias")?.filter(|bias| !bias.is_empty()),
        user: fields.text("user")?.filter(|user| !user.is_empty()),
        safety_identifier: fields.text("safety_identifier")?.filter(|id| !id.is_empty()),
        metadata: object(&mut fields, "metadata")?.filter(|labels| !labels.is_empty()),
        reasoning_effort: fields.text("reasoning_effort")?,
        thinking: None,
        verbosity: fields.text("verbosity")?.filter(|word| word != "medium"),
        service_tier: fields.text("service_tier")?,
        store: fields.flag("store")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: stream_options,
        stream_extra,
        modalities: fields.opt("modalities", "an array of strings")?.unwrap_or_default(),
        audio: object(&mut fields, "audio")?,
        prediction: object(&mut fields, "prediction")?,
        web_search_options: object(&mut fields, "web_search_options")?,
        prompt_cache_key: fields.text("prompt_cache_key")?,
        prompt_cache_retention: fields
            .text("prompt_cache_retention")?
            .filter(|word| !matches!(word.as_str(), "in_memory" | "in-memory")),
        origin: Some(Dialect::OpenAiChat),
        places,
        extra: fields.rest(),
    };
    if request.top_logprobs.is_some() && request.logprobs != Some(true) {
        let at = At::Root;
        let at = at.field("top_logprobs");
        return Err(Fault::invalid(&at, "`top_logprobs` needs `logprobs` to be true"));
    }
    Ok(request)
}

/// Whether usage was asked for, and the other options.
fn stream_options(fields: &mut Fields<'_, '_>) -> Result<(bool, Extra), Fault> {
    let Some(raw) = fields.take("stream_options") else { return Ok((false, Extra::new())) };
    let at = fields.at.field("stream_options");
    let mut options = Fields::of(raw, &at)?;
    let include_usage = options.flag("include_usage")?.unwrap_or(false);
    Ok((include_usage, options.rest()))
}

/// Both names of the cap; the newer one wins.
fn max_output_tokens(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Option<u64>, Fault> {
    let old = fields.count("max_tokens", 1, u64::MAX)?;
    let new = fields.count("max_completion_tokens", 1, u64::MAX)?;
    if old.is_some() && new.is_none() {
        places.word("max_output_tokens", "max_tokens");
    }
    Ok(new.or(old))
}

fn object(fields: &mut Fields<'_, '_>, name: &str) -> Result<Option<crate::Json>, Fault> {
    match fields.take(name) {
        None => Ok(None),
        Some(raw) if raw.get().starts_with('{') => Ok(Some(raw.into())),
        Some(raw) => Err(Fault::mistyped(&fields.at.field(name), "an object", raw)),
    }
}

fn stop(fields: &mut Fields<'_, '_>) -> Result<Vec<String>, Fault> {
    let Some(raw) = fields.take("stop") else { return Ok(Vec::new()) };
    let at = fields.at.field("stop");
    let texts = match string(raw) {
        Some(one) => vec![one.into_owned()],
        None => serde_json::from_str::<Vec<String>>(raw.get())
            .map_err(|_| Fault::mistyped(&at, "a string or an array of strings", raw))?,
    };
    if texts.len() > 4 {
        return Err(Fault::invalid(
            &at,
            format!("`stop` holds {} texts: at most 4 are allowed", texts.len()),
        ));
    }
    Ok(texts)
}

fn tools(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    if let Some(raw) = fields.take("tools") {
        let at = fields.at.field("tools");
        for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
            let at = at.index(index);
            let tool = tool(raw, &at)?;
            places.tool(Place::new(&at, if is_custom(&tool) { "custom" } else { "function" }));
            tools.push(tool);
        }
    }
    // The form of 2023; each function is what stands under `function` today.
    if let Some(raw) = fields.take("functions") {
        let at = fields.at.field("functions");
        for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
            let at = at.index(index);
            tools.push(function(raw, &at)?);
            places.tool(Place::new(&at, ""));
        }
    }
    Ok(tools)
}

fn is_custom(tool: &Tool) -> bool {
    matches!(tool.kind, ToolKind::Custom { .. })
}

fn tool(raw: &RawValue, at: &At<'_>) -> Result<Tool, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    match kind.as_str() {
        "function" => function(fields.need("function")?, &at.field("function")),
        "custom" => {
            let at = at.field("custom");
            let mut custom = Fields::of(fields.need("custom")?, &at)?;
            Ok(Tool {
                name: name(&mut custom)?,
                description: custom.text("description")?,
                kind: ToolKind::Custom { format: custom.json("format") },
                cache: None,
                extra: custom.rest(),
            })
        }
        other => {
            let at = at.field("type");
            Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected function or custom")))
        }
    }
}

fn function(raw: &RawValue, at: &At<'_>) -> Result<Tool, Fault> {
    let mut function = Fields::of(raw, at)?;
    Ok(Tool {
        name: name(&mut function)?,
        description: function.text("description")?,
        kind: ToolKind::Function {
            parameters: object(&mut function, "parameters")?,
            strict: function.flag("strict")?,
        },
        cache: None,
        extra: function.rest(),
    })
}

fn name(fields: &mut Fields<'_, '_>) -> Result<String, Fault> {
    let name = fields.need_text("name")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
        let at = fields.at.field("name");
        return Err(Fault::invalid(&at, format!("`{at}` must be 1 to 64 letters, digits, `_` or `-`")));
    }
    Ok(name)
}

fn tool_choice(
    fields: &mut Fields<'_, '_>,
    tools: &[Tool],
    places: &mut Places,
) -> Result<Option<ToolChoice>, Fault> {
    let legacy = fields.take("function_call");
    if let Some(raw) = fields.take("tool_choice") {
        return choice(raw, &fields.at.field("tool_choice"), tools).map(Some);
    }
    let Some(raw) = legacy else { return Ok(None) };
    places.word("tool_choice", "function_call");
    let at = fields.at.field("function_call");
    match string(raw) {
        Some(word) => choice_word(&word, &at).map(Some),
        None => Ok(Some(ToolChoice::Tool(known_name(&mut Fields::of(raw, &at)?, tools)?))),
    }
}

fn choice_word(word: &str, at: &At<'_>) -> Result<ToolChoice, Fault> {
    match word {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        // Mistral's word, which LiteLLM's users send.
        "required" | "any" => Ok(ToolChoice::Required),
        other => Err(Fault::invalid(at, format!("`{at}` is `{other}`: expected none, auto or required"))),
    }
}

fn choice(raw: &RawValue, at: &At<'_>, tools: &[Tool]) -> Result<ToolChoice, Fault> {
    if let Some(word) = string(raw) {
        return choice_word(&word, at);
    }
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    match kind.as_str() {
        "function" | "custom" => {
            let inner = at.field(&kind);
            Ok(ToolChoice::Tool(known_name(&mut Fields::of(fields.need(&kind)?, &inner)?, tools)?))
        }
        "allowed_tools" => {
            let at = at.field("allowed_tools");
            let mut allowed = Fields::of(fields.need("allowed_tools")?, &at)?;
            let required = match allowed.need_text("mode")?.as_str() {
                "auto" => false,
                "required" => true,
                other => {
                    let at = at.field("mode");
                    return Err(Fault::invalid(
                        &at,
                        format!("`{at}` is `{other}`: expected auto or required"),
                    ));
                }
            };
            let list = at.field("tools");
            let mut names = Vec::new();
            for (index, raw) in elements(allowed.need("tools")?, &list)?.into_iter().enumerate() {
                names.push(allowed_name(raw, &list.index(index), tools)?);
            }
            Ok(ToolChoice::Allowed { required, names })
        }
        other => {
            let at = at.field("type");
            Err(Fault::invalid(
                &at,
                format!("`{at}` is `{other}`: expected function, custom or allowed_tools"),
            ))
        }
    }
}

fn allowed_name(raw: &RawValue, at: &At<'_>, tools: &[Tool]) -> Result<String, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    let inner = at.field(&kind);
    known_name(&mut Fields::of(fields.need(&kind)?, &inner)?, tools)
}

fn known_name(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> Result<String, Fault> {
    let name = fields.need_text("name")?;
    if tools.iter().any(|tool| tool.name == name) {
        return Ok(name);
    }
    let at = fields.at.field("name");
    Err(Fault::invalid(&at, format!("`{at}` names `{name}`, which is not among `tools`")))
}

fn response_format(fields: &mut Fields<'_, '_>) -> Result<Option<ResponseFormat>, Fault> {
    let Some(raw) = fields.take("response_format") else { return Ok(None) };
    let at = fields.at.field("response_format");
    let mut format = Fields::of(raw, &at)?;
    match format.need_text("type")?.as_str() {
        "text" => Ok(Some(ResponseFormat::Text)),
        "json_object" => Ok(Some(ResponseFormat::JsonObject)),
        "json_schema" => {
            let at = at.field("json_schema");
            let mut schema = Fields::of(format.need("json_schema")?, &at)?;
            Ok(Some(ResponseFormat::JsonSchema {
                name: name(&mut schema)?,
                schema: object(&mut schema, "schema")?,
                strict: schema.flag("strict")?,
                description: schema.text("description")?,
            }))
        }
        other => {
            let at = at.field("type");
            let text = format!("`{at}` is `{other}`: expected text, json_object or json_schema");
            Err(Fault::invalid(&at, text))
        }
    }
}
