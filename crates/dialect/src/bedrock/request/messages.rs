//! The conversation. A user's turn that answers tool calls becomes two messages: the results, and the rest.

use serde_json::value::RawValue;

use crate::bedrock::content::part;
use crate::bedrock::request::order::Order;
use crate::chat::{Extra, Message, Part, Role};
use crate::json::{At, Fault, Fields, elements};
use crate::places::{Place, Places};

/// The standing instructions and the messages.
pub(super) fn decode(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    if let Some(raw) = fields.take("system") {
        let at = fields.at.field("system");
        let content = blocks(raw, &at)?;
        if !content.is_empty() {
            places.message(&at, places_of(&content, &at));
            messages.push(Message { role: Role::System, name: None, content, extra: Extra::new() });
        }
    }
    let at = fields.at.field("messages");
    let raws = elements(fields.need("messages")?, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: send at least one message"));
    }
    let mut order = Order::default();
    for (index, raw) in raws.into_iter().enumerate() {
        let at = at.index(index);
        let message = message(raw, &at)?;
        order.take(index, &message)?;
        split(message, &at, &mut messages, places);
    }
    order.end()?;
    Ok(messages)
}

fn blocks(raw: &RawValue, at: &At<'_>) -> Result<Vec<Part>, Fault> {
    elements(raw, at)?.into_iter().enumerate().map(|(index, raw)| part(raw, &at.index(index))).collect()
}

/// Where each part stood: every block is one.
fn places_of(parts: &[Part], list: &At<'_>) -> Vec<Place> {
    let place = |(index, part): (usize, &Part)| {
        let at = list.index(index);
        let inner = match part {
            Part::CacheMark(_) => return Place::new(&at.field("cachePoint"), ""),
            Part::ToolResult(result) => {
                let held = places_of(&result.content, &at.field("toolResult").field("content"));
                return Place::new(&at, "").holding(held);
            }
            Part::Text { citations, .. } if !citations.is_empty() => "citationsContent",
            Part::File { .. } => "document",
            Part::SearchResult { .. } => "searchResult",
            _ => "",
        };
        Place::new(&at, inner)
    };
    parts.iter().enumerate().map(place).collect()
}

fn message(raw: &RawValue, at: &At<'_>) -> Result<Message, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let role = match fields.need_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let at = at.field("role");
            let text = format!("`{at}` is `{other}`: expected user, assistant or system");
            return Err(Fault::invalid(&at, text));
        }
    };
    let list = at.field("content");
    let content = blocks(fields.need("content")?, &list)?;
    for (index, part) in content.iter().enumerate() {
        let (kind, only) = match part {
            Part::ToolCall(_) => ("toolUse", Role::Assistant),
            Part::ToolResult(_) => ("toolResult", Role::User),
            Part::Json(_) => {
                let at = list.index(index);
                return Err(Fault::invalid(&at, format!("`{at}` is `json`, which only a tool result holds")));
            }
            _ => continue,
        };
        if role != only {
            let at = list.index(index);
            let speaker = if only == Role::User { "the user" } else { "the assistant" };
            return Err(Fault::invalid(&at, format!("`{at}` is a `{kind}`, which only {speaker} sends")));
        }
    }
    Ok(Message { role, name: None, content, extra: fields.rest() })
}

/// A cache mark goes with what it follows.
fn split(message: Message, at: &At<'_>, messages: &mut Vec<Message>, places: &mut Places) {
    let stood = places_of(&message.content, &at.field("content"));
    if !message.content.iter().any(|part| matches!(part, Part::ToolResult(_))) {
        places.message(at, stood);
        messages.push(message);
        return;
    }
    let (mut results, mut rest) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut after_result = false;
    for (part, place) in message.content.into_iter().zip(stood) {
        after_result = match part {
            Part::ToolResult(_) => true,
            Part::CacheMark(_) => after_result,
            _ => false,
        };
        let (parts, stood) = if after_result { &mut results } else { &mut rest };
        parts.push(part);
        stood.push(place);
    }
    places.message(at, results.1);
    messages.push(Message { role: Role::Tool, name: None, content: results.0, extra: message.extra });
    if !rest.0.is_empty() {
        places.message(at, rest.1);
        messages.push(Message { role: Role::User, name: None, content: rest.0, extra: Extra::new() });
    }
}
