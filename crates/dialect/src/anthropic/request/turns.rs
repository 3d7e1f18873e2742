//! Messages into turns: what follows each other on one side is one turn, the results of a turn come first.

use std::collections::{BTreeMap, BTreeSet};

use crate::anthropic::request::decode::cache_ttl;
use crate::anthropic::request::encode::is_own;
use crate::anthropic::request::parts::{self, Block, Piece};
use crate::chat::{CacheTtl, ChatRequest, Extra, Message, Part, Role};
use crate::dialect::Target;
use crate::framing::{self, is_instruction};
use crate::json::At;
use crate::loss::{Loss, Losses, strangers};

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
    pub(super) fn give_the_user_the_last_word(&mut self, messages: &[Message], losses: &mut Losses) {
        if self.turns.last().is_some_and(|turn| turn.assistant) {
            let blocks = vec![Block::text(framing::LAST.to_owned())];
            self.turns.push(Turn { blocks, ..Turn::default() });
            losses.push(framing::had_last_word(messages));
        }
    }

    /// The vendor refuses white space at the end of the words that the model goes on from.
    pub(super) fn trim(&mut self, messages: &[Message], losses: &mut Losses) {
        let Some(last) = self.turns.last_mut().filter(|turn| turn.assistant) else { return };
        if let Some(text) = last.blocks.last_mut().and_then(Block::text_mut)
            && let Some((kept, loss)) = framing::trimmed(text, messages)
        {
            *text = kept;
            losses.push(loss);
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
    let head = request.messages.iter().take_while(|message| is_instruction(message)).count();
    // The wire wants somebody to speak: alone, the last of the standing instructions does.
    let lonely = head == request.messages.len() && head > 0;
    let head = if lonely { head - 1 } else { head };
    let mut system = Vec::new();
    for (index, message) in request.messages[..head].iter().enumerate() {
        about(message, index, &mut context);
        blocks(message, index, &mut context, &mut system, |_| false);
    }
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (index, message) in request.messages.iter().enumerate().skip(head) {
        about(message, index, &mut context);
        let assistant = message.role == Role::Assistant;
        let mut said = Vec::new();
        blocks(message, index, &mut context, &mut said, |ttl| {
            let spoken = turns.iter_mut().rev().flat_map(|turn| turn.blocks.iter_mut().rev());
            mark(spoken.chain(system.iter_mut().rev()), ttl)
        });
        if is_instruction(message) {
            context.losses.push(framing::amid(index, lonely));
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
    if turns.is_empty() && !request.messages.is_empty() && !context.losses.refuse() {
        context.losses.push(Loss::refused("messages", "no word of them is left: say something"));
    }
    if turns.first().is_some_and(|turn| turn.assistant) {
        let blocks = vec![Block::text(framing::FIRST.to_owned())];
        turns.insert(0, Turn { blocks, ..Turn::default() });
        context.losses.push(framing::spoke_first(&request.messages));
    }
    Conversation { system, turns, ids: Ids::of(&request.messages) }
}

/// What a message loses beside its content.
fn about(message: &Message, index: usize, context: &mut parts::Context<'_>) {
    if message.name.is_some() {
        let why = "the wire has no names of speakers";
        context.losses.push(Loss::dropped(format!("messages[{index}].name"), why));
    }
    if !context.own {
        for name in strangers(&message.extra) {
            let field = format!("messages[{index}].{name}");
            context.losses.push(Loss::dropped(field, "another wire's own field"));
        }
    }
}

/// Sets a mark on the first of the blocks that can bear it, the last in the conversation first.
fn mark<'b, 'a: 'b>(mut blocks: impl Iterator<Item = &'b mut Block<'a>>, ttl: CacheTtl) -> bool {
    let bearer = blocks.find(|block| block.bears_marks());
    bearer.is_some_and(|block| {
        block.cache = Some(ttl);
        true
    })
}

/// The blocks of a message. A mark goes to the last block before it that can bear one; `earlier` sets it on what stands
/// before the message.
fn blocks<'a>(
    message: &'a Message,
    index: usize,
    context: &mut parts::Context<'_>,
    out: &mut Vec<Block<'a>>,
    mut earlier: impl FnMut(CacheTtl) -> bool,
) {
    for (number, part) in message.content.iter().enumerate() {
        let field = || format!("messages[{index}].content[{number}]");
        if let Part::CacheMark(ttl) = part {
            if !mark(out.iter_mut().rev(), *ttl) && !earlier(*ttl) {
                context.losses.push(Loss::dropped(field(), "nothing that could be cached stands before it"));
            }
            continue;
        }
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
