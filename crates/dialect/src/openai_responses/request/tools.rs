//! What the model may call, and whether it must.

use serde_json::value::RawValue;

use crate::chat::{Extra, Json, Tool, ToolChoice, ToolKind};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, elements, string};
use crate::openai_responses::echo::flat;
use crate::places::{Place, Places};

pub(super) fn decode(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Tool>, Fault> {
    let mut tools = Vec::new();
    let Some(raw) = fields.take("tools") else { return Ok(tools) };
    let at = fields.at.field("tools");
    for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
        tool(raw, &at.index(index), &mut tools, places)?;
    }
    Ok(tools)
}

fn tool(raw: &RawValue, at: &At<'_>, tools: &mut Vec<Tool>, places: &mut Places) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    let tool = match kind.as_str() {
        "function" => function(fields, None)?,
        "custom" => Tool {
            name: name(&mut fields)?,
            description: fields.text("description")?,
            kind: ToolKind::Custom { format: fields.take("format").map(chats_format) },
            cache: None,
            extra: fields.rest(),
        },
        "namespace" => {
            let namespace = fields.need_text("name")?;
            let list = at.field("tools");
            for (index, raw) in elements(fields.need("tools")?, &list)?.into_iter().enumerate() {
                let at = list.index(index);
                let mut inner = Fields::of(raw, &at)?;
                // What else there may be in a namespace runs at the vendor.
                match inner.need_text("type")?.as_str() {
                    "function" => tools.push(function(inner, Some(&namespace))?),
                    other => {
                        tools.push(hosted(other, raw));
                        inner.whole();
                    }
                }
                places.tool(Place::new(&at, ""));
            }
            return Ok(());
        }
        hosted_kind => {
            fields.whole();
            hosted(hosted_kind, raw)
        }
    };
    places.tool(Place::new(at, ""));
    tools.push(tool);
    Ok(())
}

/// A tool of OpenAI's own, which is chosen by its type.
fn hosted(kind: &str, raw: &RawValue) -> Tool {
    Tool {
        name: kind.to_owned(),
        description: None,
        kind: ToolKind::Foreign {
            dialect: Dialect::OpenAiResponses,
            kind: kind.to_owned(),
            definition: raw.into(),
        },
        cache: None,
        extra: Extra::new(),
    }
}

fn function(mut fields: Fields<'_, '_>, namespace: Option<&str>) -> Result<Tool, Fault> {
    fields.take("type");
    let own = name(&mut fields)?;
    let parameters = match fields.take("parameters") {
        Some(raw) if !raw.get().starts_with('{') => {
            return Err(Fault::mistyped(&fields.at.field("parameters"), "an object", raw));
        }
        parameters => parameters.map(Json::from),
    };
    Ok(Tool {
        name: namespace.map_or_else(|| own.clone(), |namespace| flat(namespace, &own)),
        description: fields.text("description")?,
        kind: ToolKind::Function { parameters, strict: fields.flag("strict")? },
        cache: None,
        extra: fields.rest(),
    })
}

fn name(fields: &mut Fields<'_, '_>) -> Result<String, Fault> {
    let name = fields.need_text("name")?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(good) {
        let at = fields.at.field("name");
        return Err(Fault::invalid(&at, format!("`{at}` must be 1 to 128 letters, digits, `_` or `-`")));
    }
    Ok(name)
}

/// Chat Completions, whose form the canonical model has, puts a grammar into an object of its own.
fn chats_format(raw: &RawValue) -> Json {
    let at = At::Root;
    let grammar = Fields::of(raw, &at).ok().and_then(|mut format| {
        let kind = format.text_or_leave("type").filter(|kind| kind == "grammar");
        kind.filter(|_| !format.has("grammar")).map(|_| format.rest())
    });
    let Some(grammar) = grammar else { return raw.into() };
    let text = serde_json::json!({ "type": "grammar", "grammar": grammar }).to_string();
    Json::parse(text).expect("a value is JSON")
}

/// The form of this wire again.
pub(super) fn own_format(format: &Json) -> Json {
    let at = At::Root;
    let grammar = Fields::of(format.raw(), &at).ok().and_then(|mut format| format.json("grammar"));
    let Some(grammar) = grammar.and_then(|grammar| grammar.read::<Extra>().ok()) else {
        return format.clone();
    };
    let mut members =
        Extra::from([("type".to_owned(), Json::parse("\"grammar\"").expect("a string is JSON"))]);
    members.extend(grammar);
    let text = serde_json::to_string(&members).expect("JSON serialises");
    Json::parse(text).expect("what was written as JSON is JSON")
}

pub(super) fn choice(fields: &mut Fields<'_, '_>, tools: &[Tool]) -> Result<Option<ToolChoice>, Fault> {
    let Some(raw) = fields.take("tool_choice") else { return Ok(None) };
    let at = fields.at.field("tool_choice");
    if let Some(word) = string(raw) {
        return match &*word {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Required)),
            other => {
                Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected none, auto or required")))
            }
        };
    }
    let mut fields = Fields::of(raw, &at)?;
    let kind = fields.need_text("type")?;
    if kind != "allowed_tools" {
        return chosen(fields, &kind, tools).map(|name| Some(ToolChoice::Tool(name)));
    }
    let required = match fields.need_text("mode")?.as_str() {
        "auto" => false,
        "required" => true,
        other => {
            let at = at.field("mode");
            return Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected auto or required")));
        }
    };
    let list = at.field("tools");
    let mut names = Vec::new();
    for (index, raw) in elements(fields.need("tools")?, &list)?.into_iter().enumerate() {
        let at = list.index(index);
        let mut tool = Fields::of(raw, &at)?;
        let kind = tool.need_text("type")?;
        names.push(chosen(tool, &kind, tools)?);
    }
    Ok(Some(ToolChoice::Allowed { required, names }))
}

/// The name of a tool that is chosen: its own, or its type where the vendor defines it.
fn chosen(mut fields: Fields<'_, '_>, kind: &str, tools: &[Tool]) -> Result<String, Fault> {
    let callers = matches!(kind, "function" | "custom");
    let (member, name) = if callers {
        let name = fields.need_text("name")?;
        let namespace = fields.text("namespace")?;
        ("name", namespace.map_or_else(|| name.clone(), |namespace| flat(&namespace, &name)))
    } else {
        ("type", kind.to_owned())
    };
    if tools.iter().any(|tool| tool.name == name) {
        return Ok(name);
    }
    let at = fields.at.field(member);
    Err(Fault::invalid(&at, format!("`{at}` names `{name}`, which is not among `tools`")))
}
