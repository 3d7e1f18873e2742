//! What the model may call, and whether it must.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::anthropic::request::decode::cache_ttl;
use crate::chat::{Extra, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, elements};
use crate::places::{Place, Places};

pub(super) fn decode(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Tool>, Fault> {
    let Some(raw) = fields.take("tools") else { return Ok(Vec::new()) };
    let at = fields.at.field("tools");
    let raws = elements(raw, &at)?;
    let mut names = BTreeSet::new();
    let mut tools = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        let place = at.index(index);
        let tool = tool(raw, &place)?;
        let custom = matches!(tool.kind, ToolKind::Function { .. });
        let marked = tool.cache.is_some();
        if custom && !names.insert(tool.name.clone()) {
            let at = place.field("name");
            return Err(Fault::invalid(
                &at,
                format!("`{at}` repeats `{}`: tool names must be unique", tool.name),
            ));
        }
        places.tool(Place::new(&place, ""));
        if marked {
            places.tool_mark(&place.field("cache_control"));
        }
        tools.push(tool);
    }
    Ok(tools)
}

fn tool(raw: &RawValue, at: &At<'_>) -> Result<Tool, Fault> {
    let mut fields = Fields::of(raw, at)?;
    match fields.text("type")? {
        Some(kind) if kind != "custom" => {
            // A set of tools has no name of its own.
            let name = fields.text("name")?.unwrap_or_else(|| kind.clone());
            fields.whole();
            let definition = raw.into();
            let kind = ToolKind::Foreign { dialect: Dialect::AnthropicMessages, kind, definition };
            Ok(Tool { name, description: None, kind, cache: None, extra: Extra::new() })
        }
        _ => custom(fields, at),
    }
}

fn custom(mut fields: Fields<'_, '_>, at: &At<'_>) -> Result<Tool, Fault> {
    let name = fields.need_text("name")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(good) {
        let at = at.field("name");
        return Err(Fault::invalid(&at, format!("`{at}` must be 1 to 128 letters, digits, `_` or `-`")));
    }
    let schema = fields.need("input_schema")?;
    if !schema.get().starts_with('{') {
        return Err(Fault::mistyped(&at.field("input_schema"), "an object", schema));
    }
    let place = at.field("cache_control");
    Ok(Tool {
        name,
        description: fields.text("description")?,
        kind: ToolKind::Function { parameters: Some(schema.into()), strict: fields.flag("strict")? },
        cache: fields.take("cache_control").map(|raw| cache_ttl(raw, &place)).transpose()?,
        extra: fields.rest(),
    })
}

/// Whether the model must call something, and whether it may make several calls in one turn.
pub(super) fn choice(
    fields: &mut Fields<'_, '_>,
    tools: &[Tool],
) -> Result<(Option<ToolChoice>, Option<bool>), Fault> {
    let Some(raw) = fields.take("tool_choice") else { return Ok((None, None)) };
    let at = fields.at.field("tool_choice");
    let mut choice = Fields::of(raw, &at)?;
    let kind = choice.need_text("type")?;
    let parallel = choice.flag("disable_parallel_tool_use")?.map(|disable| !disable);
    let choice = match kind.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(known_name(&mut choice, tools)?),
        other => {
            let at = at.field("type");
            let text = format!("`{at}` is `{other}`: expected auto, any, tool or none");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok((Some(choice), parallel))
}

/// A name among the tools. Sets of tools, which the vendor defines, do not tell their members' names.
fn known_name(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> Result<String, Fault> {
    let name = fields.need_text("name")?;
    let known = |tool: &Tool| tool.name == name || matches!(tool.kind, ToolKind::Foreign { .. });
    if tools.iter().any(known) {
        return Ok(name);
    }
    let at = fields.at.field("name");
    Err(Fault::invalid(&at, format!("`{at}` names `{name}`, which is not among `tools`")))
}
