//! The conversation as Gemini takes it: standing instructions apart, turns that alternate, and the results of calls first
//! and together in the turn that answers them.

use crate::chat::{Extra, Message, Role};
use crate::gemini::content::{Block, Blocks};
use crate::json::Object;
use crate::loss::{Loss, LossKind};

/// What is said.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) system_extra: Option<&'a Extra>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    role: &'static str,
    results: Vec<Block<'a>>,
    rest: Vec<Block<'a>>,
    extra: Vec<&'a Extra>,
}

impl Turn<'_> {
    fn of_user(text: &'static str) -> Self {
        Self { role: "user", results: Vec::new(), rest: vec![Block::text(text)], extra: Vec::new() }
    }

    pub(super) fn write(&self, object: &mut Object<'_>) {
        object.field("role", self.role);
        object.objects("parts", self.results.iter().chain(&self.rest), |object, block| block.write(object));
        for extra in &self.extra {
            object.extra(extra);
        }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty()
    }
}

/// Divides the messages into turns. `own`: the request came in this dialect. `continues`: the caller wants the model to
/// go on from its own last words.
pub(super) fn conversation<'a>(
    messages: &'a [Message],
    own: bool,
    continues: bool,
    blocks: &mut Blocks<'a>,
) -> Conversation<'a> {
    let mut conversation = Conversation::default();
    let standing = messages.iter().take_while(|message| is_instruction(message)).count();
    // A conversation of instructions alone: the last one is what the user wants.
    let standing = if standing == messages.len() { standing.saturating_sub(1) } else { standing };
    for (index, message) in messages.iter().enumerate() {
        strangers(index, message, own, blocks);
        let role = match message.role {
            Role::System | Role::Developer if index < standing => {
                instruct(index, message, own, &mut conversation, blocks);
                continue;
            }
            Role::System | Role::Developer => {
                let why = "an instruction inside the conversation became part of the user's turn";
                blocks.losses.push(Loss::emulated(format!("messages[{index}]"), why));
                "user"
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        conversation.turns.push(say(index, message, role, own, blocks));
    }
    conversation.turns.retain(|turn| !turn.is_empty());
    merge(&mut conversation.turns);
    let refused = blocks.losses.iter().any(|loss| loss.kind == LossKind::Refused);
    if conversation.turns.is_empty() && !messages.is_empty() && !refused {
        blocks.losses.push(Loss::refused("messages", "no word of them is left: say something"));
    }
    if !own {
        frame(&mut conversation.turns, continues, blocks);
    }
    for turn in conversation.turns.iter_mut().filter(|turn| turn.role == "model") {
        blocks.excuse(&mut turn.rest);
    }
    conversation
}

/// Google lets the user speak first, and has the model continue its own last words, where OpenAI's wire has it answer
/// them.
fn frame(turns: &mut Vec<Turn<'_>>, continues: bool, blocks: &mut Blocks<'_>) {
    if turns.first().is_some_and(|turn| turn.role == "model") {
        turns.insert(0, Turn::of_user("(The assistant speaks first.)"));
        blocks.losses.push(Loss::emulated("messages[0]", "Google lets the user speak first"));
    }
    if turns.last().is_some_and(|turn| turn.role == "model") && !continues {
        turns.push(Turn::of_user("Go on."));
        blocks.losses.push(Loss::emulated("messages", "the model would go on from its own last words"));
    }
}

fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// Names the members of a message that have no word here.
fn strangers(index: usize, message: &Message, own: bool, blocks: &mut Blocks<'_>) {
    if message.name.is_some() {
        let why = "the wire names no speakers";
        blocks.losses.push(Loss::dropped(format!("messages[{index}].name"), why));
    }
    if !own {
        let lost = crate::loss::strangers(&message.extra);
        blocks.losses.extend(
            lost.map(|name| Loss::dropped(format!("messages[{index}].{name}"), "another wire's own field")),
        );
    }
}

fn instruct<'a>(
    index: usize,
    message: &'a Message,
    own: bool,
    conversation: &mut Conversation<'a>,
    blocks: &mut Blocks<'a>,
) {
    for (number, part) in message.content.iter().enumerate() {
        blocks.add(part, &|| format!("messages[{index}].content[{number}]"), &mut conversation.system);
    }
    if own && !message.extra.is_empty() {
        conversation.system_extra = Some(&message.extra);
    }
}

fn say<'a>(
    index: usize,
    message: &'a Message,
    role: &'static str,
    own: bool,
    blocks: &mut Blocks<'a>,
) -> Turn<'a> {
    let mut turn = Turn { role, results: Vec::new(), rest: Vec::new(), extra: Vec::new() };
    let mut made = Vec::new();
    for (number, part) in message.content.iter().enumerate() {
        blocks.add(part, &|| format!("messages[{index}].content[{number}]"), &mut made);
    }
    for block in made {
        if block.is_result() { turn.results.push(block) } else { turn.rest.push(block) }
    }
    if own && !message.extra.is_empty() {
        turn.extra.push(&message.extra);
    }
    turn
}

fn merge(turns: &mut Vec<Turn<'_>>) {
    let mut merged: Vec<Turn<'_>> = Vec::with_capacity(turns.len());
    for turn in turns.drain(..) {
        match merged.last_mut().filter(|last| last.role == turn.role) {
            Some(last) => {
                last.results.extend(turn.results);
                last.rest.extend(turn.rest);
                if last.extra.is_empty() {
                    last.extra = turn.extra;
                }
            }
            None => merged.push(turn),
        }
    }
    *turns = merged;
}
