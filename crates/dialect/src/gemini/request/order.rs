//! The order of a conversation: every call is answered in the next user's turn, and nothing else is. Clients seldom name
//! the ids of calls, and the wire does not ask for them: a result then belongs to the first open call of its name.

use crate::chat::Role;
use crate::gemini::content::Ids;
use crate::json::{At, Fault};

/// Follows a conversation, turn by turn.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The calls of the last turn of the model.
    open: Vec<Call>,
    /// How many calls there were.
    calls: usize,
    /// Whether the last turn was a user's.
    answering: bool,
    index: usize,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    answered: bool,
}

impl Order {
    /// The turn of that number begins.
    pub(super) fn turn(&mut self, index: usize, role: Role) -> Result<(), Fault> {
        match role {
            Role::Assistant => {
                // Turns of the model that follow each other are one.
                if self.answering {
                    self.end()?;
                    self.open.clear();
                }
                self.answering = false;
                self.index = index + 1;
            }
            Role::User | Role::Tool | Role::System | Role::Developer => {
                if !self.answering {
                    self.index = index;
                }
                self.answering = true;
            }
        }
        Ok(())
    }

    /// The conversation is over, or the model speaks again.
    pub(super) fn end(&self) -> Result<(), Fault> {
        let left: Vec<&str> =
            self.open.iter().filter(|call| !call.answered).map(|call| call.name.as_str()).collect();
        if left.is_empty() {
            return Ok(());
        }
        let list = At::Root.field("contents");
        let at = list.index(self.index);
        let text = format!(
            "`{at}` must answer every function call of the turn before it: it lacks a functionResponse for {}",
            left.iter().map(|name| format!("`{}`", short(name))).collect::<Vec<_>>().join(", ")
        );
        Err(Fault::invalid(&at, text))
    }
}

impl Ids for Order {
    fn call(&mut self, given: Option<String>, name: &str, at: &At<'_>) -> Result<String, Fault> {
        let id = given.unwrap_or_else(|| format!("call_{}", self.calls));
        self.calls += 1;
        if self.open.iter().any(|call| call.id == id) {
            let text = format!("`{at}` repeats the id `{}`: give each call its own", short(&id));
            return Err(Fault::invalid(at, text));
        }
        self.open.push(Call { id: id.clone(), name: name.to_owned(), answered: false });
        Ok(id)
    }

    fn result(&mut self, given: Option<String>, name: &str, at: &At<'_>) -> Result<String, Fault> {
        let by_id = given.and_then(|id| self.open.iter().position(|call| call.id == id && !call.answered));
        let by_name = || self.open.iter().position(|call| call.name == name && !call.answered);
        if let Some(call) = by_id.or_else(by_name).and_then(|found| self.open.get_mut(found)) {
            call.answered = true;
            return Ok(call.id.clone());
        }
        let text = format!(
            "`{at}` answers `{}`, which was not called in the turn before it, or has its answer",
            short(name)
        );
        Err(Fault::invalid(at, text))
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
