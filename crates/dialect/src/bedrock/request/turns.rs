//! The conversation as AWS takes it: standing instructions apart, turns that alternate, and the results of tool calls
//! first in the turn that answers them.

use crate::bedrock::content::{Block, Blocks};
use crate::chat::{Extra, Message, Part, Role};
use crate::error::{Loss, LossKind};
use crate::json::Object;

/// What is said.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
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
        let rest = vec![Block::Text { text: text.into(), extra: None }];
        Self { role: "user", results: Vec::new(), rest, extra: Vec::new() }
    }

    pub(super) fn write(&self, object: &mut Object<'_>) {
        object.field("role", self.role);
        object.objects("content", self.results.iter().chain(&self.rest), |object, block| block.write(object));
        for extra in &self.extra {
            object.extra(extra);
        }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty()
    }
}

/// Divides the messages into turns. `own`: the request came in this dialect, which has a role for instructions in the
/// middle of a conversation; to other wires' clients not every model would listen there. `continues`: the caller wants
/// the model to go on from its own last words, and the model does so.
pub(super) fn conversation<'a>(
    messages: &'a [Message],
    own: bool,
    continues: bool,
    blocks: &mut Blocks,
) -> Conversation<'a> {
    let mut conversation = Conversation::default();
    let standing = messages.iter().take_while(|message| is_instruction(message)).count();
    // A conversation of instructions alone: the last one is what the user wants.
    let standing = if standing == messages.len() { standing.saturating_sub(1) } else { standing };
    for (index, message) in messages.iter().enumerate() {
        let role = match message.role {
            Role::System | Role::Developer if index < standing => None,
            Role::System | Role::Developer if own => Some("system"),
            Role::System | Role::Developer => {
                let why = "an instruction inside the conversation became part of the user's turn";
                blocks.losses.push(Loss::emulated(format!("messages[{index}]"), why));
                Some("user")
            }
            Role::User | Role::Tool => Some("user"),
            Role::Assistant => Some("assistant"),
        };
        strangers(index, message, own, blocks);
        match role {
            None => instruct(index, message, &mut conversation, blocks),
            Some(role) => say(index, message, role, own, &mut conversation, blocks),
        }
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
    trim(&mut conversation.turns, blocks);
    conversation
}

/// AWS lets the user speak first, and has the model continue its own last words, where other wires have it answer them.
fn frame(turns: &mut Vec<Turn<'_>>, continues: bool, blocks: &mut Blocks) {
    if turns.first().is_some_and(|turn| turn.role == "assistant") {
        turns.insert(0, Turn::of_user("(The assistant speaks first.)"));
        blocks.losses.push(Loss::emulated("messages[0]", "AWS lets the user speak first"));
    }
    let ends = turns.last().is_some_and(|turn| turn.role == "assistant");
    if ends && !continues {
        turns.push(Turn::of_user("Go on."));
        blocks.losses.push(Loss::emulated("messages", "the model lets the user have the last word"));
    }
}

fn is_instruction(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// Names the members of a message that have no word here.
fn strangers(index: usize, message: &Message, own: bool, blocks: &mut Blocks) {
    if message.name.is_some() {
        let why = "the wire names no speakers";
        blocks.losses.push(Loss::dropped(format!("messages[{index}].name"), why));
    }
    if !own {
        let lost = message.extra.keys();
        blocks.losses.extend(
            lost.map(|name| Loss::dropped(format!("messages[{index}].{name}"), "another wire's own field")),
        );
    }
}

/// Standing instructions are texts, cache marks and what this wire alone has.
fn instruct<'a>(
    index: usize,
    message: &'a Message,
    conversation: &mut Conversation<'a>,
    blocks: &mut Blocks,
) {
    for (number, part) in message.content.iter().enumerate() {
        let field = || format!("messages[{index}].content[{number}]");
        let fits = matches!(
            part,
            Part::Text { .. } | Part::Refusal { .. } | Part::CacheMark(_) | Part::Foreign { .. }
        );
        if !fits {
            blocks.losses.push(Loss::refused(field(), "standing instructions are text on this wire"));
            continue;
        }
        conversation.system.extend(blocks.block(part, &field));
    }
}

fn say<'a>(
    index: usize,
    message: &'a Message,
    role: &'static str,
    own: bool,
    conversation: &mut Conversation<'a>,
    blocks: &mut Blocks,
) {
    let mut turn = Turn { role, results: Vec::new(), rest: Vec::new(), extra: Vec::new() };
    let mut after_result = false;
    for (number, part) in message.content.iter().enumerate() {
        let block = match part {
            // Structure is for results alone.
            Part::Json(json) => Some(Block::Text { text: json.get().into(), extra: None }),
            part => blocks.block(part, &|| format!("messages[{index}].content[{number}]")),
        };
        after_result = match part {
            Part::ToolResult(_) => true,
            // A mark goes with what it follows.
            Part::CacheMark(_) => after_result,
            _ => false,
        };
        if after_result { turn.results.extend(block) } else { turn.rest.extend(block) }
    }
    if own && !message.extra.is_empty() {
        turn.extra.push(&message.extra);
    }
    conversation.turns.push(turn);
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

/// White space at the end of a final assistant text is refused by AWS.
fn trim(turns: &mut [Turn<'_>], blocks: &mut Blocks) {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == "assistant") else { return };
    let Some(Block::Text { text, .. }) = last.rest.last_mut() else { return };
    let trimmed = text.trim_end().len();
    if trimmed < text.len() {
        *text = text[..trimmed].to_owned().into();
        let why = "white space at the end of the last assistant text was cut";
        blocks.losses.push(Loss::emulated("messages", why));
    }
}
