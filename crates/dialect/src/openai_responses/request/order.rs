//! Items into messages: what the model says in a row is one turn, and a result stands right after the turn that calls for
//! it, as every other wire has it, wherever among the later items the client put it.

use crate::chat::{Message, Part, Role, ToolResult};
use crate::json::{At, Fault};
use crate::places::{Place, Places};

/// The conversation as it grows.
#[derive(Default)]
pub(super) struct Turns {
    turns: Vec<Turn>,
}

struct Turn {
    message: Message,
    at: String,
    places: Vec<Place>,
    /// Its calls that have no result yet, with their places.
    open: Vec<(String, String)>,
}

impl Turns {
    /// A whole message of somebody's.
    pub(super) fn say(&mut self, role: Role, parts: Vec<(Part, String)>, at: &At<'_>) {
        if role == Role::Assistant {
            return parts.into_iter().for_each(|(part, place)| self.answer(part, &place, at));
        }
        self.begin(role, at);
        for (part, place) in parts {
            self.push(part, &place);
        }
    }

    /// One more part of what the model says.
    pub(super) fn answer(&mut self, part: Part, place: &str, at: &At<'_>) {
        if self.turns.last().is_none_or(|turn| turn.message.role != Role::Assistant) {
            self.begin(Role::Assistant, at);
        }
        self.push(part, place);
    }

    /// A call. A fault: one of that id waits for its result already.
    pub(super) fn call(&mut self, id: &str, part: Part, at: &At<'_>) -> Result<(), Fault> {
        if self.turns.iter().any(|turn| turn.open.iter().any(|(open, _)| open == id)) {
            let at = at.field("call_id");
            return Err(Fault::invalid(&at, format!("`{at}` repeats `{id}`: give each call its own id")));
        }
        self.answer(part, &at.to_string(), at);
        if let Some(turn) = self.turns.last_mut() {
            turn.open.push((id.to_owned(), at.to_string()));
        }
        Ok(())
    }

    /// A result. A fault: nothing waits for it.
    pub(super) fn result(&mut self, result: ToolResult, at: &At<'_>) -> Result<(), Fault> {
        let id = &result.call_id;
        let asked = self.turns.iter().rposition(|turn| turn.open.iter().any(|(open, _)| open == id));
        let Some(asked) = asked else {
            let at = at.field("call_id");
            let id: String = id.chars().take(80).collect();
            let text =
                format!("`{at}` is `{id}`, but no item before it makes such a call, or it is answered");
            return Err(Fault::invalid(&at, text));
        };
        self.turns[asked].open.retain(|(open, _)| open != id);
        let next = asked + 1;
        if self.turns.get(next).is_none_or(|turn| turn.message.role != Role::Tool) {
            self.turns.insert(next, Turn::new(Role::Tool, at));
        }
        let turn = &mut self.turns[next];
        let output = at.field("output");
        let held = (0..result.content.len()).map(|number| Place::new(&output.index(number), ""));
        turn.places.push(Place::new(at, "").holding(held.collect()));
        turn.message.content.push(Part::ToolResult(result));
        Ok(())
    }

    /// All messages. A fault: a call has no result.
    pub(super) fn end(self, places: &mut Places) -> Result<Vec<Message>, Fault> {
        if let Some((id, at)) = self.turns.iter().find_map(|turn| turn.open.first()) {
            let text = format!("`{at}` calls a tool, but no item after it is the output of the call `{id}`");
            return Err(Fault { at: at.clone(), ..Fault::invalid(&At::Root, text) });
        }
        let mut messages = Vec::with_capacity(self.turns.len());
        for turn in self.turns {
            places.message(&At::Root.field(&turn.at), turn.places);
            messages.push(turn.message);
        }
        Ok(messages)
    }

    fn begin(&mut self, role: Role, at: &At<'_>) {
        self.turns.push(Turn::new(role, at));
    }

    fn push(&mut self, part: Part, place: &str) {
        if let Some(turn) = self.turns.last_mut() {
            turn.message.content.push(part);
            turn.places.push(Place::new(&At::Root.field(place), ""));
        }
    }
}

impl Turn {
    fn new(role: Role, at: &At<'_>) -> Self {
        let message = Message { role, ..Message::default() };
        Self { message, at: at.to_string(), places: Vec::new(), open: Vec::new() }
    }
}
