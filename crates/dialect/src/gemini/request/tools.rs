//! What the model may call, as a client tells it.

use serde_json::value::RawValue;

use crate::chat::{ChatRequest, Extra, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::gemini::members::Members;
use crate::gemini::request::decode::carry;
use crate::gemini::schema::json_schema;
use crate::json::{At, Fault, Json, Object, elements};
use crate::places::Place;

pub(super) fn decode(
    members: &mut Members<'_, '_>,
    request: &mut ChatRequest,
    carried: &mut Extra,
) -> Result<(), Fault> {
    if let Some(raw) = members.take("tools")? {
        let list = members.at.field("tools");
        for (index, raw) in elements(raw, &list)?.into_iter().enumerate() {
            tool(raw, &list.index(index), request)?;
        }
    }
    let name = members.name("toolConfig")?.into_owned();
    let Some(raw) = members.take("toolConfig")? else { return Ok(()) };
    let at = members.at.field(&name);
    let mut config = Members::of(raw, &at)?;
    let inner = config.name("functionCallingConfig")?.into_owned();
    if let Some(raw) = config.take("functionCallingConfig")? {
        let at = at.field(&inner);
        let mut calling = Members::of(raw, &at)?;
        choice(&mut calling, request)?;
        carry(carried, "functionCallingConfig", &calling.rest());
    }
    let mut rest = config.rest();
    rest.extend(
        carried.remove("functionCallingConfig").map(|json| ("functionCallingConfig".to_owned(), json)),
    );
    carry(carried, "toolConfig", &rest);
    Ok(())
}

/// An element of `tools` is a list of functions, or one or more tools of the vendor's own.
fn tool(raw: &RawValue, at: &At<'_>, request: &mut ChatRequest) -> Result<(), Fault> {
    let mut members = Members::of(raw, at)?;
    let name = members.name("functionDeclarations")?.into_owned();
    if let Some(raw) = members.take("functionDeclarations")? {
        let list = at.field(&name);
        for (index, raw) in elements(raw, &list)?.into_iter().enumerate() {
            let at = list.index(index);
            request.tools.push(function(raw, &at)?);
            request.places.tool(Place::new(&at, ""));
        }
    }
    for (kind, value) in members.rest() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| object.field(&kind, &value));
        let definition = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok()).unwrap_or(value);
        let dialect = Dialect::GeminiGenerate;
        let (name, kind) = (kind.clone(), ToolKind::Foreign { dialect, kind, definition });
        request.places.tool(Place::new(&at.field(&name), ""));
        request.tools.push(Tool { name, description: None, kind, cache: None, extra: Extra::new() });
    }
    Ok(())
}

fn function(raw: &RawValue, at: &At<'_>) -> Result<Tool, Fault> {
    let mut members = Members::of(raw, at)?;
    let name = members.need_text("name")?;
    if !is_name(&name) {
        let at = at.field("name");
        let text = format!(
            "`{at}` must begin with a letter or `_` and have 1 to 128 letters, digits, `_`, `.`, `:` or `-`"
        );
        return Err(Fault::invalid(&at, text));
    }
    let description = members.text("description")?;
    let googles = members.take("parameters")?;
    let plain = members.name("parametersJsonSchema")?.into_owned();
    let parameters = match (members.take("parametersJsonSchema")?, googles) {
        (Some(_), Some(_)) => {
            let at = at.field(&plain);
            return Err(Fault::invalid(&at, format!("`{at}` stands beside `parameters`: write one of them")));
        }
        (Some(raw), None) if raw.get().starts_with('{') => Some(Json::from(raw)),
        (Some(raw), None) => return Err(Fault::mistyped(&at.field(&plain), "an object", raw)),
        (None, Some(raw)) => Some(json_schema(raw, &at.field("parameters"))?),
        (None, None) => None,
    };
    let kind = ToolKind::Function { parameters, strict: None };
    Ok(Tool { name, description, kind, cache: None, extra: members.rest() })
}

/// Whether a function may be called so.
fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.len() <= 128 && name.bytes().all(good)
}

fn choice(calling: &mut Members<'_, '_>, request: &mut ChatRequest) -> Result<(), Fault> {
    let list = calling.name("allowedFunctionNames")?.into_owned();
    let names: Vec<String> = calling.opt("allowedFunctionNames", "an array of strings")?.unwrap_or_default();
    let at = calling.at.field(&list);
    if let Some(index) = names.iter().position(|name| request.tools.iter().all(|tool| tool.name != *name)) {
        let at = at.index(index);
        let text = format!("`{at}` names `{}`, which is not among the functions in `tools`", names[index]);
        return Err(Fault::invalid(&at, text));
    }
    let mode = calling.text("mode")?.unwrap_or_default().to_ascii_uppercase();
    let some = |required: bool, names: Vec<String>| Some(ToolChoice::Allowed { required, names });
    request.tool_choice = match mode.as_str() {
        "" | "MODE_UNSPECIFIED" if names.is_empty() => None,
        "NONE" => Some(ToolChoice::None),
        "AUTO" if names.is_empty() => Some(ToolChoice::Auto),
        "ANY" => match <[String; 1]>::try_from(names) {
            Ok([name]) => Some(ToolChoice::Tool(name)),
            Err(names) if names.is_empty() => Some(ToolChoice::Required),
            Err(names) => some(true, names),
        },
        // The model calls or speaks as it likes, and its arguments are held to the schema.
        "VALIDATED" => {
            for tool in &mut request.tools {
                if let ToolKind::Function { strict, .. } = &mut tool.kind {
                    *strict = Some(true);
                }
            }
            if names.is_empty() { Some(ToolChoice::Auto) } else { some(false, names) }
        }
        "" | "MODE_UNSPECIFIED" | "AUTO" => {
            let text =
                format!("`{at}` goes with the mode ANY or VALIDATED: name one of them, or leave it out");
            return Err(Fault::invalid(&at, text));
        }
        other => {
            let at = calling.at.field("mode");
            let text = format!("`{at}` is `{other}`: expected AUTO, ANY, NONE or VALIDATED");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok(())
}
