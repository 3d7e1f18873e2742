//! The messages of a request.
//!
//! A user turn that answers tool calls becomes two messages: the results, and what else the user says. Turns of one
//! speaker that follow each other stay as they are.

use serde_json::value::RawValue;

use crate::anthropic::request::blocks::{self, Side};
use crate::anthropic::request::order::Order;
use crate::chat::{Extra, Message, Part, Role};
use crate::json::{At, Fault, Fields, elements, string};
use crate::places::{Place, Places};

/// Adds the messages to the conversation.
pub(super) fn decode(
    fields: &mut Fields<'_, '_>,
    strict: bool,
    messages: &mut Vec<Message>,
    places: &mut Places,
) -> Result<(), Fault> {
    let at = fields.at.field("messages");
    let raws = elements(fields.need("messages")?, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: at least one message is required"));
    }
    let mut order = Order::default();
    messages.reserve(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        message(raw, &at.index(index), strict, &mut order, messages, places)?;
    }
    order.end()
}

fn message(
    raw: &RawValue,
    at: &At<'_>,
    strict: bool,
    order: &mut Order,
    out: &mut Vec<Message>,
    places: &mut Places,
) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    let place = at.field("content");
    match fields.need_text("role")?.as_str() {
        "system" => {
            let raw = fields.need("content")?;
            let content = blocks::texts(raw, &place)?;
            places.message(at, blocks::places(&content, &place, raw));
            out.push(Message { role: Role::System, name: None, content, extra: fields.rest() });
        }
        "user" => {
            let (content, raw) = content(&mut fields, &place, Side::User { strict })?;
            order.user(&content, at)?;
            let said = blocks::places(&content, &place, raw);
            user(content.into_iter().zip(said), fields.rest(), at, out, places);
        }
        "assistant" => {
            let (content, raw) = content(&mut fields, &place, Side::Assistant { strict })?;
            places.message(at, blocks::places(&content, &place, raw));
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

fn content<'a>(
    fields: &mut Fields<'a, '_>,
    at: &At<'_>,
    side: Side,
) -> Result<(Vec<Part>, &'a RawValue), Fault> {
    let raw = fields.need("content")?;
    if let Some(text) = string(raw) {
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::text(text)] };
        return Ok((parts, raw));
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(at, "a string or an array of blocks", raw));
    }
    Ok((blocks::decode(raw, at, side)?, raw))
}

/// Splits the results from the rest. A mark stays with the part before it.
fn user(
    content: impl Iterator<Item = (Part, Place)>,
    extra: Extra,
    at: &At<'_>,
    out: &mut Vec<Message>,
    places: &mut Places,
) {
    let (mut results, mut rest) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    let mut after_result = false;
    for (part, place) in content {
        if !matches!(part, Part::CacheMark(_)) {
            after_result = blocks::is_result(&part);
        }
        let (parts, stood) = if after_result { &mut results } else { &mut rest };
        parts.push(part);
        stood.push(place);
    }
    let mut push = |role, (content, stood): (Vec<Part>, Vec<Place>)| {
        places.message(at, stood);
        out.push(Message { role, name: None, content, extra: Extra::new() });
    };
    let answered = !results.0.is_empty();
    if answered {
        push(Role::Tool, results);
    }
    if !rest.0.is_empty() || !answered {
        push(Role::User, rest);
    }
    if let Some(last) = out.last_mut() {
        last.extra = extra;
    }
}
