//! The conversation. A user's turn that answers tool calls becomes two messages: the results, and the rest.

use serde_json::value::RawValue;

use crate::bedrock::content::part;
use crate::bedrock::request::order::Order;
use crate::chat::{Extra, Message, Part, Role};
use crate::json::{At, Fault, Fields, elements};

/// The standing instructions and the messages.
pub(super) fn decode(fields: &mut Fields<'_, '_>) -> Result<Vec<Message>, Fault> {
    let mut messages = Vec::new();
    if let Some(raw) = fields.take("system") {
        let content = blocks(raw, &At::Root.field("system"))?;
        if !content.is_empty() {
            messages.push(Message { role: Role::System, name: None, content, extra: Extra::new() });
        }
    }
    let at = At::Root.field("messages");
    let raws = elements(fields.need("messages")?, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: send at least one message"));
    }
    let mut order = Order::default();
    for (index, raw) in raws.into_iter().enumerate() {
        let message = message(raw, &at.index(index))?;
        order.take(index, &message)?;
        split(message, &mut messages);
    }
    order.end()?;
    Ok(messages)
}

fn blocks(raw: &RawValue, at: &At<'_>) -> Result<Vec<Part>, Fault> {
    elements(raw, at)?.into_iter().enumerate().map(|(index, raw)| part(raw, &at.index(index))).collect()
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
fn split(message: Message, messages: &mut Vec<Message>) {
    if !message.content.iter().any(|part| matches!(part, Part::ToolResult(_))) {
        messages.push(message);
        return;
    }
    let (mut results, mut rest) = (Vec::new(), Vec::new());
    let mut after_result = false;
    for part in message.content {
        after_result = match part {
            Part::ToolResult(_) => true,
            Part::CacheMark(_) => after_result,
            _ => false,
        };
        if after_result { results.push(part) } else { rest.push(part) }
    }
    messages.push(Message { role: Role::Tool, name: None, content: results, extra: message.extra });
    if !rest.is_empty() {
        messages.push(Message { role: Role::User, name: None, content: rest, extra: Extra::new() });
    }
}
