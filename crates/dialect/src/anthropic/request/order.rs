//! The order of a conversation: every tool call is answered in the turn right after it, and nothing else is.
//!
//! Messages of one speaker that follow each other are one turn; a system message between them is none.

use crate::anthropic::request::blocks::{foreign_call, foreign_result};
use crate::chat::Part;
use crate::json::{At, Fault};

/// What a conversation has said so far.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The calls of the model's last turn, each with whether it is answered.
    open: Vec<(String, bool)>,
    /// Where that turn ended.
    called_at: String,
    /// The user has spoken since.
    answered: bool,
}

impl Order {
    /// The model speaks.
    pub(super) fn assistant(&mut self, content: &[Part], at: &At<'_>) -> Result<(), Fault> {
        if std::mem::take(&mut self.answered) {
            self.all_answered()?;
            self.open.clear();
        }
        for id in content.iter().filter_map(call_id) {
            if self.open.iter().any(|(open, _)| *open == id) {
                let at = at.field("content");
                return Err(Fault::invalid(
                    &at,
                    format!("`{at}` repeats the tool_use id `{id}`: `tool_use` ids must be unique"),
                ));
            }
            self.open.push((id, false));
        }
        self.called_at = at.to_string();
        Ok(())
    }

    /// The user speaks.
    pub(super) fn user(&mut self, content: &[Part], at: &At<'_>) -> Result<(), Fault> {
        self.answered = true;
        for id in content.iter().filter_map(result_id) {
            let at = at.field("content");
            match self.open.iter_mut().find(|(open, _)| *open == id) {
                Some((_, true)) => {
                    let text =
                        format!("`{at}` has more than one tool_result for `{id}`: send a single result");
                    return Err(Fault::invalid(&at, text));
                }
                Some((_, answered)) => *answered = true,
                None => return Err(unasked(&at, &id)),
            }
        }
        Ok(())
    }

    /// The conversation is over.
    pub(super) fn end(&self) -> Result<(), Fault> {
        self.all_answered()
    }

    fn all_answered(&self) -> Result<(), Fault> {
        let Some((id, _)) = self.open.iter().find(|(_, answered)| !answered) else { return Ok(()) };
        let at = &self.called_at;
        let text = format!(
            "`{at}`: `tool_use` ids were found without `tool_result` blocks immediately after: {}: each `tool_use` \
             block must have a `tool_result` block in the next message",
            short(id)
        );
        Err(Fault { code: steelyard_core::ErrorCode::InvalidField, at: at.clone(), text })
    }
}

fn call_id(part: &Part) -> Option<String> {
    match part {
        Part::ToolCall(call) => Some(call.id.clone()),
        other => foreign_call(other),
    }
}

fn result_id(part: &Part) -> Option<String> {
    match part {
        Part::ToolResult(result) => Some(result.call_id.clone()),
        other => foreign_result(other),
    }
}

fn unasked(at: &At<'_>, id: &str) -> Fault {
    let text = format!(
        "`{at}`: unexpected `tool_use_id` found in `tool_result` blocks: {}: each `tool_result` block must have a \
         `tool_use` block in the previous message",
        short(id)
    );
    Fault::invalid(at, text)
}

fn short(id: &str) -> String {
    id.chars().take(80).collect()
}
