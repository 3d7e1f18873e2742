//! Messages into turns: what follows each other on one side is one turn, the results of a turn come first.

use std::collections::{BTreeMap, BTreeSet};

use crate::anthropic::request::decode::cache_ttl;
use crate::anthropic::request::encode::{Losses, is_own};
use crate::anthropic::request::parts::{self, Block, Piece};
use crate::chat::{CacheTtl, ChatRequest, Extra, Message, Part, Role};
use crate::dialect::Target;
use crate::error::Loss;
use crate::json::At;

/// A conversation as the wire has it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    pub(super) ids: Ids,
}

/// A turn of the model, or of the user.
#[derive(Debug, Default)]
pub(super) struct Turn<'a> {
    pub(super) assistant: bool,
    pub(super) blocks: Vec<Block<'a>>,
    pub(super) extra: Extra,
}

impl Conversation<'_> {
    /// On other wires the model answers to its own last words; here it would continue them, or refuse to.
    pub(super) fn give_the_user_the_last_word(&mut self, losses: &mut Losses) {
        if self.turns.last().is_some_and(|turn| turn.assistant) {
            let blocks = vec![Block::text("Go on.".to_owned())];
            self.turns.push(Turn { blocks, ..Turn::default() });
            losses.push(Loss::emulated("messages", "the model lets the user have the last word"));
        }
    }

    /// The conversation waits for the model to go on after the results of a turn that does not begin with a thought.
    /// A model that thinks by budget wants that thought back, unchanged.
    pub(super) fn lacks_thought(&self) -> bool {
        let [.., called, answered] = self.turns.as_slice() else { return false };
        let results = !answered.assistant && answered.blocks.iter().any(Block::is_result);
        let thought = called.blocks.first().is_some_and(Block::is_thought);
        results && called.assistant && !thought
    }
}

/// The ids of calls in letters that the vendor takes (`^[a-zA-Z0-9_-]+$`), the same for a call and its result.
#[derive(Debug, Default)]
pub(super) struct Ids(BTreeMap<String, String>);

impl Ids {
    fn of(messages: &[Message]) -> Self {
        let parts = messages.iter().flat_map(|message| &message.content);
        let all: BTreeSet<&str> = parts
            .filter_map(|part| match part {
                Part::ToolCall(call) => Some(call.id.as_str()),
                Part::ToolResult(result) => Some(result.call_id.as_str()),
                _ => None,
            })
            .collect();
        let good = |id: &str| !id.is_empty() && id.bytes().all(is_good);
        let mut taken: BTreeSet<String> =
            all.iter().filter(|id| good(id)).map(|id| (*id).to_owned()).collect();
        let mut changed = BTreeMap::new();
        for id in all.into_iter().filter(|id| !good(id)) {
            let letters: String = id
                .chars()
                .map(|letter| if letter.is_ascii() && is_good(letter as u8) { letter } else { '_' })
                .collect();
            let mut new = format!("call_{letters}");
            let mut number = 2_u32;
            while !taken.insert(new.clone()) {
                new = format!("call_{letters}_{number}");
                number += 1;
            }
            changed.insert(id.to_owned(), new);
        }
        Self(changed)
    }

    pub(super) fn of_call<'i>(&'i self, id: &'i str) -> &'i str {
        self.0.get(id).map_or(id, String::as_str)
    }
}

fn is_good(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

pub(super) fn gather<'a>(
    request: &'a ChatRequest,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Conversation<'a> {
    let mut context = parts::Context { own: is_own(request), compatible: target.compatible, losses };
    let is_standing = |message: &Message| matches!(message.role, Role::System | Role::Developer);
    let head = request.messages.iter().take_while(|message| is_standing(message)).count();
    // The wire wants somebody to speak: alone, the last of the standing instructions does.
    let lonely = head == request.messages.len() && head > 0;
    let head = if lonely { head - 1 } else { head };
    let mut system = Vec::new();
    for (index, message) in request.messages[..head].iter().enumerate() {
        about(message, &mut context);
        blocks(message, index, &mut context, &mut system);
    }
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (index, message) in request.messages.iter().enumerate().skip(head) {
        about(message, &mut context);
        let assistant = message.role == Role::Assistant;
        let mut said = Vec::new();
        blocks(message, index, &mut context, &mut said);
        if is_standing(message) {
            let why = if lonely {
                "the last of the instructions became the user's words"
            } else {
                "an instruction amid the conversation became a part of the user's turn"
            };
            context.losses.push(Loss::emulated(format!("messages[{index}]"), why));
            if !lonely {
                said.iter_mut().for_each(Block::fold);
            }
        }
        if said.is_empty() {
            continue;
        }
        match turns.last_mut().filter(|turn| turn.assistant == assistant) {
            Some(turn) => turn.blocks.append(&mut said),
            None => turns.push(Turn { assistant, blocks: said, extra: Extra::new() }),
        }
        if context.own
            && let Some(turn) = turns.last_mut()
        {
            turn.extra.extend(message.extra.clone());
        }
    }
    for turn in turns.iter_mut().filter(|turn| !turn.assistant) {
        turn.blocks.sort_by_key(|block| !block.is_result());
    }
    if turns.is_empty() && !request.messages.is_empty() {
        context.losses.push(Loss::refused("messages", "no word of them is left: say something"));
    }
    if turns.first().is_some_and(|turn| turn.assistant) {
        let blocks = vec![Block::text("(The assistant speaks first.)".to_owned())];
        turns.insert(0, Turn { blocks, ..Turn::default() });
        context.losses.push(Loss::emulated("messages[0]", "the vendor lets the user speak first"));
    }
    Conversation { system, turns, ids: Ids::of(&request.messages) }
}

/// What a message loses beside its content.
fn about(message: &Message, context: &mut parts::Context<'_>) {
    if message.name.is_some() {
        context.losses.once(Loss::dropped("messages[].name", "the wire has no names of speakers"));
    }
    if !context.own {
        for name in message.extra.keys() {
            context.losses.once(Loss::dropped(format!("messages[].{name}"), "another wire's own field"));
        }
    }
}

/// The blocks of a message. A mark goes to the last block before it that can bear one.
fn blocks<'a>(
    message: &'a Message,
    index: usize,
    context: &mut parts::Context<'_>,
    out: &mut Vec<Block<'a>>,
) {
    for (number, part) in message.content.iter().enumerate() {
        if let Part::CacheMark(ttl) = part {
            if let Some(block) = out.iter_mut().rev().find(|block| block.bears_marks()) {
                block.cache = Some(*ttl);
            }
            continue;
        }
        let field = || format!("messages[{index}].content[{number}]");
        let piece = parts::prepare(part, &field, context);
        let cache = if context.own { None } else { borrowed_mark(part) };
        out.extend(piece.map(|piece| Block { piece, cache }));
    }
}

/// Callers of Chat Completions write Anthropic's marks on their parts of text when they mean Claude.
fn borrowed_mark(part: &Part) -> Option<CacheTtl> {
    let Part::Text { extra, .. } = part else { return None };
    cache_ttl(extra.get(parts::CACHE_CONTROL)?.raw(), &At::Root).ok()
}

/// The names of the tools that the conversation has called.
pub(super) fn called<'a>(conversation: &Conversation<'a>) -> BTreeSet<&'a str> {
    let blocks = conversation.turns.iter().flat_map(|turn| &turn.blocks);
    blocks
        .filter_map(|block| match &block.piece {
            Piece::Call(call) => Some(call.name.as_str()),
            Piece::Part(_) | Piece::Result { .. } => None,
        })
        .collect()
}
