//! The conversation as AWS takes it: standing instructions apart, turns that alternate, and the results of tool calls
//! first in the turn that answers them.

use crate::bedrock::content::{Block, Blocks};
use crate::chat::{Extra, Message, Part, Role};
use crate::framing::{self, is_instruction};
use crate::json::Object;
use crate::loss::{Loss, strangers};

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
    let lonely = standing == messages.len();
    let standing = if lonely { standing.saturating_sub(1) } else { standing };
    for (index, message) in messages.iter().enumerate() {
        let role = match message.role {
            Role::System | Role::Developer if index < standing => None,
            Role::System | Role::Developer if own => Some("system"),
            Role::System | Role::Developer => {
                blocks.losses.push(framing::amid(index, lonely));
                Some("user")
            }
            Role::User | Role::Tool => Some("user"),
            Role::Assistant => Some("assistant"),
        };
        beside(index, message, own, blocks);
        match role {
            None => instruct(index, message, &mut conversation, blocks),
            Some(role) => say(index, message, role, own, &mut conversation, blocks),
        }
        if let Some(turn) = conversation.turns.last_mut().filter(|_| role == Some("user") && !lonely)
            && is_instruction(message)
        {
            turn.rest.iter_mut().for_each(Block::fold);
        }
    }
    conversation.turns.retain(|turn| !turn.is_empty());
    merge(&mut conversation.turns);
    if conversation.turns.is_empty() && !messages.is_empty() && !blocks.losses.refuse() {
        blocks.losses.push(Loss::refused("messages", "no word of them is left: say something"));
    }
    if !own {
        accompany(&mut conversation.turns);
        frame(&mut conversation.turns, messages, continues, blocks);
    }
    trim(&mut conversation.turns, messages, blocks);
    conversation
}

/// AWS lets the user speak first, and has the model continue its own last words, where other wires have it answer them.
fn frame(turns: &mut Vec<Turn<'_>>, messages: &[Message], continues: bool, blocks: &mut Blocks) {
    if turns.first().is_some_and(|turn| turn.role == "assistant") {
        turns.insert(0, Turn::of_user(framing::FIRST));
        blocks.losses.push(framing::spoke_first(messages));
    }
    let ends = turns.last().is_some_and(|turn| turn.role == "assistant");
    if ends && !continues {
        turns.push(Turn::of_user(framing::LAST));
        blocks.losses.push(framing::had_last_word(messages));
    }
}

/// "If you include a document, you must also include a text" (API reference, `ContentBlock`).
fn accompany(turns: &mut [Turn<'_>]) {
    const TEXT: &str = "Here is a document.";
    for turn in turns.iter_mut().filter(|turn| turn.role == "user") {
        let document = turn.rest.iter().any(|block| matches!(block, Block::Document(_)));
        let text = turn.rest.iter().any(|block| matches!(block, Block::Text { .. }));
        if document && !text {
            turn.rest.push(Block::Text { text: TEXT.into(), extra: None });
        }
    }
}

/// Names the members of a message that have no word here.
fn beside(index: usize, message: &Message, own: bool, blocks: &mut Blocks) {
    if message.name.is_some() {
        let why = "the wire names no speakers";
        blocks.losses.push(Loss::dropped(format!("messages[{index}].name"), why));
    }
    if !own {
        let lost = strangers(&message.extra);
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
fn trim(turns: &mut [Turn<'_>], messages: &[Message], blocks: &mut Blocks) {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == "assistant") else { return };
    let Some(Block::Text { text, .. }) = last.rest.last_mut() else { return };
    if let Some((kept, loss)) = framing::trimmed(text, messages) {
        *text = kept.into();
        blocks.losses.push(loss);
    }
}
