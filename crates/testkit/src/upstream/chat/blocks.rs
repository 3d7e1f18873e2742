//! What is said, as the wires with content blocks say it: pieces of one kind that follow each other share a block.

use super::{Choice, Piece};

/// What a block is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    Text,
    Thinking,
    Redacted(&'a str),
    Tool { id: &'a str, name: &'a str },
}

/// A piece of a block.
#[derive(Debug)]
pub(super) enum Say<'a> {
    Text(&'a str),
    Thinking(&'a str),
    Signature(&'a str),
    Arguments(String),
}

/// One step of a stream of blocks, with the block's number.
#[derive(Debug)]
pub(super) enum Act<'a> {
    Open(usize, Kind<'a>),
    Say(usize, Say<'a>),
    Close(usize),
    /// What stands between events.
    Between(&'a Piece),
}

/// A block in one piece. Of a tool call, `text` is the arguments.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) text: String,
    pub(super) signature: String,
}

/// Whether a refusal is a text like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    IsText,
    IsNoText,
}

impl Choice {
    pub(super) fn acts(&self, refusal: Refusal) -> Vec<Act<'_>> {
        let mut writer = Writer::default();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => writer.go_on(Kind::Text, Say::Text(text)),
                Piece::Refusal(text) if refusal == Refusal::IsText => {
                    writer.go_on(Kind::Text, Say::Text(text));
                }
                Piece::Refusal(_) => {}
                Piece::Reasoning(text) => writer.go_on(Kind::Thinking, Say::Thinking(text)),
                Piece::Signature(signature) => {
                    writer.go_on(Kind::Thinking, Say::Signature(signature));
                    writer.close();
                }
                Piece::Redacted(data) => {
                    writer.open(Kind::Redacted(data));
                    writer.close();
                }
                Piece::Tool { id, name, arguments } => {
                    writer.open(Kind::Tool { id, name });
                    let characters: Vec<char> = arguments.chars().collect();
                    for piece in characters.chunks(8) {
                        writer.say(Say::Arguments(piece.iter().collect()));
                    }
                    writer.close();
                }
                Piece::Pause(_)
                | Piece::Wait(_)
                | Piece::Comment(_)
                | Piece::Raw(_)
                | Piece::Bad(_)
                | Piece::Fail(_)
                | Piece::Cut(_) => writer.acts.push(Act::Between(piece)),
            }
        }
        writer.close();
        writer.acts
    }

    pub(super) fn blocks(&self, refusal: Refusal) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        for act in self.acts(refusal) {
            match act {
                Act::Open(_, kind) => {
                    blocks.push(Block { kind, text: String::new(), signature: String::new() });
                }
                Act::Say(index, Say::Text(text) | Say::Thinking(text)) => blocks[index].text.push_str(text),
                Act::Say(index, Say::Arguments(text)) => blocks[index].text.push_str(&text),
                Act::Say(index, Say::Signature(signature)) => blocks[index].signature.push_str(signature),
                Act::Close(_) | Act::Between(_) => {}
            }
        }
        blocks
    }

    /// Whether a tool is called.
    pub(super) fn calls(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Tool { .. }))
    }

    /// What is refused, if something is.
    pub(super) fn refused(&self) -> Option<&str> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Refusal(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

#[derive(Default)]
struct Writer<'a> {
    acts: Vec<Act<'a>>,
    open: Option<Kind<'a>>,
    index: usize,
}

impl<'a> Writer<'a> {
    fn open(&mut self, kind: Kind<'a>) {
        self.close();
        self.acts.push(Act::Open(self.index, kind));
        self.open = Some(kind);
    }

    fn say(&mut self, say: Say<'a>) {
        self.acts.push(Act::Say(self.index, say));
    }

    /// Says it in the open block, if that is of this kind.
    fn go_on(&mut self, kind: Kind<'a>, say: Say<'a>) {
        let same =
            self.open.is_some_and(|open| std::mem::discriminant(&open) == std::mem::discriminant(&kind));
        if !same {
            self.open(kind);
        }
        self.say(say);
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.acts.push(Act::Close(self.index));
            self.index += 1;
        }
    }
}
