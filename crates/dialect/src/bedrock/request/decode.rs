//! A client's request into the canonical model. Every fault names its field as the client wrote it.
//!
//! AWS ignores members that it does not know; here they are carried in `extra`, under the name of the top-level member
//! they stand in, so that they go back to this wire and are a named loss on any other.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use steelyard_core::ApiError;

use crate::bedrock::content::Found;
use crate::bedrock::content::{exactly, one_of, read_cache_point, text_of};
use crate::bedrock::peek;
use crate::bedrock::request::{additional, messages};
use crate::chat::{ChatRequest, Extra, ResponseFormat, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, Json, Object, elements, utf8};
use crate::peek::Outside;
use crate::places::{Place, Places, Word};

pub(crate) fn decode(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    Ok(ChatRequest::read(utf8(body)?, |fields| read(fields, outside))?)
}

/// What the wire calls otherwise than the canonical model.
const WORDS: &[Word] = &[
    ("max_output_tokens", "inferenceConfig.maxTokens"),
    ("temperature", "inferenceConfig.temperature"),
    ("top_p", "inferenceConfig.topP"),
    ("top_k", "additionalModelRequestFields.top_k"),
    ("stop", "inferenceConfig.stopSequences"),
    ("metadata", "requestMetadata"),
    ("service_tier", "serviceTier"),
    ("thinking", "additionalModelRequestFields.thinking"),
    ("reasoning_effort", "outputConfig.effort"),
    ("response_format", "outputConfig.textFormat"),
    ("response_format.description", "outputConfig.textFormat.structure.jsonSchema.description"),
    ("tools", "toolConfig.tools"),
    ("tool_choice", "toolConfig.toolChoice"),
    ("parallel_tool_calls", "additionalModelRequestFields.tool_choice"),
];

fn read(mut fields: Fields<'_, '_>, outside: &Outside<'_>) -> Result<ChatRequest, Fault> {
    let mut places = Places::new(WORDS);
    let mut request = ChatRequest {
        model: peek::model(outside)?.to_owned(),
        messages: messages::decode(&mut fields, &mut places)?,
        stream: outside.stream,
        // Every stream of this wire ends with usage.
        include_usage: outside.stream,
        metadata: metadata(&mut fields)?,
        service_tier: service_tier(&mut fields)?,
        origin: Some(Dialect::BedrockConverse),
        places,
        ..ChatRequest::default()
    };
    // What is the default of every wire cannot be lost.
    fields.take_if("performanceConfig", |raw| {
        let latency: BTreeMap<String, String> = serde_json::from_str(raw.get()).ok()?;
        (latency.len() == 1 && latency.get("latency")? == "standard").then_some(())
    });
    let mut carried = Extra::new();
    inference(&mut fields, &mut request, &mut carried)?;
    tools(&mut fields, &mut request, &mut carried)?;
    output(&mut fields, &mut request, &mut carried)?;
    additional::decode(&mut fields, &mut request, &mut carried)?;
    request.extra = fields.rest();
    request.extra.extend(carried);
    Ok(request)
}

/// Carries what is left of a member under the member's own name.
pub(super) fn carry(carried: &mut Extra, name: &str, rest: &Extra) {
    if rest.is_empty() {
        return;
    }
    let mut out = Vec::new();
    Object::write(&mut out, |object| object.extra(rest));
    let json = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    carried.extend(json.map(|json| (name.to_owned(), json)));
}

fn metadata(fields: &mut Fields<'_, '_>) -> Result<Option<Json>, Fault> {
    let at = fields.at.field("requestMetadata");
    let Some(raw) = fields.take("requestMetadata") else { return Ok(None) };
    for (name, value) in Fields::of(raw, &at)?.rest() {
        text_of(value.raw(), &at.field(&name))?;
    }
    Ok(Some(Json::from(raw)).filter(|labels| !labels.is_empty()))
}

fn service_tier(fields: &mut Fields<'_, '_>) -> Result<Option<String>, Fault> {
    let at = fields.at.field("serviceTier");
    let Some(raw) = fields.take("serviceTier") else { return Ok(None) };
    Fields::of(raw, &at)?.need_text("type").map(Some)
}

fn inference(
    fields: &mut Fields<'_, '_>,
    request: &mut ChatRequest,
    carried: &mut Extra,
) -> Result<(), Fault> {
    let at = fields.at.field("inferenceConfig");
    let Some(raw) = fields.take("inferenceConfig") else { return Ok(()) };
    let mut config = Fields::of(raw, &at)?;
    request.max_output_tokens = config.count("maxTokens", 1, u64::MAX)?;
    request.temperature = config.number("temperature", 0.0, 1.0)?;
    request.top_p = config.number("topP", 0.0, 1.0)?;
    request.stop = config.opt("stopSequences", "an array of strings")?.unwrap_or_default();
    if let Some(index) = request.stop.iter().position(String::is_empty) {
        let list = at.field("stopSequences");
        let at = list.index(index);
        return Err(Fault::invalid(&at, format!("`{at}` is empty: leave it out")));
    }
    carry(carried, "inferenceConfig", &config.rest());
    Ok(())
}

fn tools(fields: &mut Fields<'_, '_>, request: &mut ChatRequest, carried: &mut Extra) -> Result<(), Fault> {
    let at = fields.at.field("toolConfig");
    let Some(raw) = fields.take("toolConfig") else { return Ok(()) };
    let mut config = Fields::of(raw, &at)?;
    let list = at.field("tools");
    for (index, raw) in elements(config.need("tools")?, &list)?.into_iter().enumerate() {
        let at = list.index(index);
        let before = request.tools.len();
        tool(raw, &at, &mut request.tools)?;
        if request.tools.len() > before {
            request.places.tool(Place::new(&at, "toolSpec"));
        } else {
            request.places.tool_mark(&at.field("cachePoint"));
        }
    }
    if let Some(raw) = config.take("toolChoice") {
        request.tool_choice = Some(tool_choice(raw, &at.field("toolChoice"), &request.tools)?);
    }
    carry(carried, "toolConfig", &config.rest());
    Ok(())
}

fn tool(raw: &RawValue, at: &At<'_>, tools: &mut Vec<Tool>) -> Result<(), Fault> {
    const KINDS: &[&str] = &["toolSpec", "systemTool", "cachePoint"];
    let (kind, value, beside) = match one_of(raw, at, KINDS)? {
        Found::Known(kind, value, beside) => (kind, value, beside),
        Found::Unknown(members) => {
            let mut kinds = members.rest().into_keys();
            let (Some(kind), None) = (kinds.next(), kinds.next()) else {
                let text = format!("`{at}` must hold exactly one of {}", KINDS.join(", "));
                return Err(Fault::invalid(at, text));
            };
            tools.push(foreign(kind.clone(), kind, raw));
            return Ok(());
        }
    };
    let inner = at.field(kind);
    match kind {
        "toolSpec" => tools.push(spec(value, &inner)?),
        "systemTool" => {
            let name = name(&mut Fields::of(value, &inner)?)?;
            beside.whole();
            tools.push(foreign(name, kind.to_owned(), raw));
        }
        _ => {
            let ttl = read_cache_point(value, &inner)?;
            // One that stands before all tools covers none.
            if let Some(tool) = tools.last_mut() {
                tool.cache = Some(ttl);
            }
        }
    }
    Ok(())
}

fn foreign(name: String, kind: String, definition: &RawValue) -> Tool {
    let kind = ToolKind::Foreign { dialect: Dialect::BedrockConverse, kind, definition: definition.into() };
    Tool { name, description: None, kind, cache: None, extra: Extra::new() }
}

fn spec(raw: &RawValue, at: &At<'_>) -> Result<Tool, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let schema = at.field("inputSchema");
    let (_, json) = exactly(fields.need("inputSchema")?, &schema, &["json"])?;
    if !json.get().starts_with('{') {
        return Err(Fault::mistyped(&schema.field("json"), "an object", json));
    }
    Ok(Tool {
        name: name(&mut fields)?,
        description: fields.text("description")?,
        kind: ToolKind::Function { parameters: Some(json.into()), strict: fields.flag("strict")? },
        cache: None,
        extra: fields.rest(),
    })
}

fn name(fields: &mut Fields<'_, '_>) -> Result<String, Fault> {
    let name = fields.need_text("name")?;
    if is_name(&name) {
        return Ok(name);
    }
    let at = fields.at.field("name");
    Err(Fault::invalid(&at, format!("`{at}` must be 1 to 64 letters, digits, `_` or `-`")))
}

/// Whether a tool may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(good)
}

fn tool_choice(raw: &RawValue, at: &At<'_>, tools: &[Tool]) -> Result<ToolChoice, Fault> {
    let (kind, value) = exactly(raw, at, &["auto", "any", "tool"])?;
    let inner = at.field(kind);
    let mut fields = Fields::of(value, &inner)?;
    match kind {
        "auto" => Ok(ToolChoice::Auto),
        "any" => Ok(ToolChoice::Required),
        _ => {
            let name = fields.need_text("name")?;
            if tools.iter().any(|tool| tool.name == name) {
                return Ok(ToolChoice::Tool(name));
            }
            let at = inner.field("name");
            let text = format!("`{at}` names `{name}`, which is not among `toolConfig.tools`");
            Err(Fault::invalid(&at, text))
        }
    }
}

fn output(fields: &mut Fields<'_, '_>, request: &mut ChatRequest, carried: &mut Extra) -> Result<(), Fault> {
    let at = fields.at.field("outputConfig");
    let Some(raw) = fields.take("outputConfig") else { return Ok(()) };
    let mut config = Fields::of(raw, &at)?;
    request.reasoning_effort = config.text("effort")?;
    if let Some(raw) = config.take("textFormat") {
        request.response_format = Some(text_format(raw, &at.field("textFormat"))?);
    }
    carry(carried, "outputConfig", &config.rest());
    Ok(())
}

/// The schema is JSON inside a string.
fn text_format(raw: &RawValue, at: &At<'_>) -> Result<ResponseFormat, Fault> {
    let mut format = Fields::of(raw, at)?;
    let kind = format.need_text("type")?;
    if kind != "json_schema" {
        let at = at.field("type");
        return Err(Fault::invalid(&at, format!("`{at}` is `{kind}`: expected json_schema")));
    }
    let structure = at.field("structure");
    let (_, value) = exactly(format.need("structure")?, &structure, &["jsonSchema"])?;
    let at = structure.field("jsonSchema");
    let mut definition = Fields::of(value, &at)?;
    let written = definition.need_text("schema")?;
    let schema = Json::parse(written).ok().filter(|schema| schema.get().starts_with('{'));
    let Some(schema) = schema else {
        let at = at.field("schema");
        return Err(Fault::invalid(&at, format!("`{at}` must be a string that holds a JSON schema")));
    };
    Ok(ResponseFormat::JsonSchema {
        name: definition.text("name")?.unwrap_or_else(|| "output".to_owned()),
        schema: Some(schema),
        strict: None,
        description: definition.text("description")?,
    })
}
