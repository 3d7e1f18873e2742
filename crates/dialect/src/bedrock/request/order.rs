//! The order of a conversation: every tool call is answered in the next user turn, and nothing else is. The texts begin
//! as AWS's do, because agents look for them.

use crate::chat::{Message, Part, Role};
use crate::json::{At, Fault};

/// Follows a conversation, message by message.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The calls of the last assistant turn, and whether each is answered.
    open: Vec<(String, bool)>,
    /// Whether the last message was a user's.
    answering: bool,
    index: usize,
}

impl Order {
    pub(super) fn take(&mut self, index: usize, message: &Message) -> Result<(), Fault> {
        match message.role {
            Role::User => {
                self.answering = true;
                self.index = index;
                for (number, part) in message.content.iter().enumerate() {
                    if let Part::ToolResult(result) = part {
                        self.answer(index, number, &result.call_id)?;
                    }
                }
            }
            Role::Assistant => {
                // Turns of the assistant that follow each other are one.
                if self.answering {
                    self.check(self.index)?;
                    self.open.clear();
                }
                self.answering = false;
                self.index = index + 1;
                for (number, part) in message.content.iter().enumerate() {
                    if let Part::ToolCall(call) = part {
                        self.call(index, number, &call.id)?;
                    }
                }
            }
            Role::System | Role::Developer | Role::Tool => {}
        }
        Ok(())
    }

    /// The conversation is over.
    pub(super) fn end(&self) -> Result<(), Fault> {
        self.check(self.index)
    }

    fn call(&mut self, index: usize, number: usize, id: &str) -> Result<(), Fault> {
        if self.open.iter().any(|(open, _)| open == id) {
            return Err(fault(index, Some(number), |at| {
                format!("`{at}` repeats the toolUseId `{}`: give each call its own id", short(id))
            }));
        }
        self.open.push((id.to_owned(), false));
        Ok(())
    }

    fn answer(&mut self, index: usize, number: usize, id: &str) -> Result<(), Fault> {
        match self.open.iter_mut().find(|(open, _)| open == id) {
            Some((_, answered)) => {
                *answered = true;
                Ok(())
            }
            None => Err(fault(index, Some(number), |at| {
                format!(
                    "The number of toolResult blocks at messages.{index}.content exceeds the number of toolUse blocks \
                     of previous turn: `{at}` answers `{}`, which was not called there",
                    short(id)
                )
            })),
        }
    }

    fn check(&self, index: usize) -> Result<(), Fault> {
        let left: Vec<String> =
            self.open.iter().filter(|(_, answered)| !answered).map(|(id, _)| short(id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(fault(index, None, |_| {
            format!(
                "Expected toolResult blocks at messages.{index}.content for the following Ids: {}",
                left.join(", ")
            )
        }))
    }
}

fn short(id: &str) -> String {
    id.chars().take(80).collect()
}

fn fault(index: usize, number: Option<usize>, text: impl FnOnce(&At<'_>) -> String) -> Fault {
    let list = At::Root.field("messages");
    let message = list.index(index);
    let content = message.field("content");
    match number {
        Some(number) => {
            let at = content.index(number);
            Fault::invalid(&at, text(&at))
        }
        None => Fault::invalid(&content, text(&content)),
    }
}
