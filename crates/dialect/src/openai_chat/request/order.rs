//! The order of a conversation: every tool call is answered right after its message, and nothing else is.

use crate::chat::{Message, Part, Role};
use crate::json::{At, Fault};

/// Refuses what OpenAI refuses: a result without its call, and a call without its result.
pub(super) fn check(messages: &[Message]) -> Result<(), Fault> {
    let list = At::Root.field("messages");
    let mut called_at = 0;
    let mut open: Vec<(&str, bool)> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let at = list.index(index);
        if message.role == Role::Tool {
            for part in &message.content {
                let Part::ToolResult(result) = part else { continue };
                match open.iter_mut().find(|(id, _)| *id == result.call_id) {
                    Some((_, answered)) => *answered = true,
                    None => return Err(unasked(&at, &result.call_id)),
                }
            }
            continue;
        }
        all_answered(&open, &list.index(called_at))?;
        open.clear();
        called_at = index;
        for (number, part) in message.content.iter().filter_map(call_id).enumerate() {
            if open.iter().any(|(id, _)| *id == part) {
                let calls = at.field("tool_calls");
                let call = calls.index(number);
                let at = call.field("id");
                return Err(Fault::invalid(
                    &at,
                    format!("`{at}` repeats `{part}`: give each call its own id"),
                ));
            }
            open.push((part, false));
        }
    }
    all_answered(&open, &list.index(called_at))
}

fn call_id(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall(call) => Some(&call.id),
        _ => None,
    }
}

/// A call of the form of 2023 was never required to be answered.
fn all_answered(open: &[(&str, bool)], at: &At<'_>) -> Result<(), Fault> {
    match open.iter().find(|(id, answered)| !answered && !id.starts_with("call_legacy_")) {
        None => Ok(()),
        Some((id, _)) => Err(Fault::invalid(
            at,
            format!("`{at}` calls tools, but no tool message right after it answers the call `{id}`"),
        )),
    }
}

fn unasked(message: &At<'_>, id: &str) -> Fault {
    let at = message.field("tool_call_id");
    let id: String = id.chars().take(80).collect();
    Fault::invalid(&at, format!("`{at}` is `{id}`, but the assistant message before it makes no such call"))
}
