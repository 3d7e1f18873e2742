//! The messages of a request.
//!
//! A user turn that answers tool calls becomes two messages: the results, and what else the user says. Turns of one
//! speaker that follow each other stay as they are.

use serde_json::value::RawValue;

use crate::anthropic::request::blocks::{self, Side};
use crate::anthropic::request::order::Order;
use crate::chat::{Extra, Message, Part, Role};
use crate::json::{At, Fault, Fields, elements, string};

pub(super) fn decode(raw: &RawValue, strict: bool) -> Result<Vec<Message>, Fault> {
    let at = At::Root.field("messages");
    let raws = elements(raw, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: at least one message is required"));
    }
    let mut order = Order::default();
    let mut messages = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        message(raw, &at.index(index), strict, &mut order, &mut messages)?;
    }
    order.end()?;
    Ok(messages)
}

fn message(
    raw: &RawValue,
    at: &At<'_>,
    strict: bool,
    order: &mut Order,
    out: &mut Vec<Message>,
) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    let place = at.field("content");
    match fields.need_text("role")?.as_str() {
        "system" => {
            let content = blocks::texts(fields.need("content")?, &place)?;
            out.push(Message { role: Role::System, name: None, content, extra: fields.rest() });
        }
        "user" => {
            let content = content(&mut fields, &place, Side::User { strict })?;
            order.user(&content, at)?;
            user(content, fields.rest(), out);
        }
        "assistant" => {
            let content = content(&mut fields, &place, Side::Assistant { strict })?;
            order.assistant(&content, at)?;
            out.push(Message { role: Role::Assistant, name: None, content, extra: fields.rest() });
        }
        other => {
            let at = at.field("role");
            let text = format!("`{at}` is `{other}`: expected user, assistant or system");
            return Err(Fault::invalid(&at, text));
        }
    }
    Ok(())
}

fn content(fields: &mut Fields<'_, '_>, at: &At<'_>, side: Side) -> Result<Vec<Part>, Fault> {
    let raw = fields.need("content")?;
    if let Some(text) = string(raw) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(at, "a string or an array of blocks", raw));
    }
    blocks::decode(raw, at, side)
}

/// Splits the results from the rest. A mark stays with the part before it.
fn user(content: Vec<Part>, extra: Extra, out: &mut Vec<Message>) {
    let mut results = Vec::new();
    let mut rest = Vec::new();
    let mut after_result = false;
    for part in content {
        if !matches!(part, Part::CacheMark(_)) {
            after_result = blocks::is_result(&part);
        }
        if after_result { results.push(part) } else { rest.push(part) }
    }
    let answered = !results.is_empty();
    if answered {
        out.push(Message { role: Role::Tool, name: None, content: results, extra: Extra::new() });
    }
    if !rest.is_empty() || !answered {
        out.push(Message { role: Role::User, name: None, content: rest, extra });
    } else if let Some(last) = out.last_mut() {
        last.extra = extra;
    }
}
