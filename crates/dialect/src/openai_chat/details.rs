//! `reasoning_details`: how signed and hidden reasoning rides through clients of this wire, which has no word for it.
//!
//! The form is `OpenRouter`'s (its documentation, "Reasoning tokens"), which agents already replay: a list of
//! `{"type":"reasoning.text","text","signature","format","index"}` and `{"type":"reasoning.encrypted","data",…}`.
//!
//! The wire has one text and a list of calls, and thoughts beside them. A thought that did not come first tells in its `id`,
//! which clients send back as they got it, what came before it: `steelyard.12.1` stands after 12 characters of the text and
//! one call. So its vendor gets the turn back in the order in which it was said.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use crate::chat::{Json, Part};
use crate::json::{At, Fields, Object, readable};
use crate::places::Place;

/// Whose signatures these are. The only ones known here.
const FORMAT: &str = "anthropic-claude-v1";
/// What begins the ids that are ours.
const MARK: &str = "steelyard.";

/// What came before a thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Before {
    /// Characters of the text.
    pub(crate) said: usize,
    /// Calls.
    pub(crate) calls: usize,
}

impl Before {
    /// As the `id` of a detail; none where nothing came before.
    fn id(self) -> Option<String> {
        (self != Self::default()).then(|| format!("{MARK}{}.{}", self.said, self.calls))
    }

    /// Of an `id`. What others wrote came first, as far as anybody knows.
    fn of(id: Option<&str>) -> Self {
        let ours = id.and_then(|id| id.strip_prefix(MARK)?.split_once('.'));
        let read = ours.and_then(|(said, calls)| Some((said.parse().ok()?, calls.parse().ok()?)));
        read.map_or_else(Self::default, |(said, calls)| Self { said, calls })
    }

    /// With one more part.
    fn and(self, part: &Part) -> Self {
        match part {
            Part::Text { text, .. } => Self { said: self.said + text.chars().count(), ..self },
            Part::ToolCall(_) => Self { calls: self.calls + 1, ..self },
            _ => self,
        }
    }
}

/// A thought, and what came before it.
#[derive(Debug)]
pub(crate) struct Thought {
    pub(crate) part: Part,
    before: Before,
}

impl Thought {
    /// One that came first.
    pub(crate) fn first(part: Part) -> Self {
        Self { part, before: Before::default() }
    }
}

/// Thoughts from a list of details. None if it is no list or holds none that can be read.
pub(crate) fn decode(raw: &RawValue, at: &At<'_>) -> Option<Vec<Thought>> {
    let thoughts = raw.get().starts_with('[').then(|| readable(raw, at, thought))?;
    (!thoughts.is_empty()).then_some(thoughts)
}

fn thought(raw: &RawValue, at: &At<'_>) -> Option<Thought> {
    let mut fields = Fields::of(raw, at).ok()?;
    // Whose it is, and its number: both are told by where it stands.
    fields.take("format");
    fields.take("index");
    let before = Before::of(fields.text_or_leave("id").as_deref());
    let part = match fields.text_or_leave("type")?.as_str() {
        "reasoning.text" => Part::Reasoning {
            text: fields.text_or_leave("text").unwrap_or_default(),
            signature: fields.text_or_leave("signature"),
        },
        "reasoning.summary" => Part::reasoning(fields.text_or_leave("summary")?),
        "reasoning.encrypted" => Part::RedactedReasoning { data: fields.text_or_leave("data")? },
        _ => return None,
    };
    Some(Thought { part, before })
}

/// A turn in the order in which it was said: the thoughts where they came among the text and the calls; before all of it if
/// these are not what they were.
pub(crate) fn restore(thoughts: Vec<(Thought, Place)>, rest: Vec<(Part, Place)>) -> Vec<(Part, Place)> {
    if thoughts.is_empty() {
        return rest;
    }
    let all = rest.iter().fold(Before::default(), |before, (part, _)| before.and(part));
    let orders = thoughts.iter().map(|(thought, _)| thought.before);
    let known = orders.clone().is_sorted_by(|one, next| one.said <= next.said && one.calls <= next.calls)
        && orders.clone().all(|before| before.said <= all.said && before.calls <= all.calls);
    let (calls, texts): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|(part, _)| matches!(part, Part::ToolCall(_)));
    let (mut texts, mut calls) = (Texts(texts.into()), calls.into_iter());
    let (mut turn, mut so_far) = (Vec::new(), Before::default());
    for (Thought { part, before }, place) in thoughts {
        if known {
            texts.say(before.said - so_far.said, &mut turn);
            turn.extend(calls.by_ref().take(before.calls - so_far.calls));
            so_far = before;
        }
        turn.push((part, place));
    }
    turn.extend(texts.0);
    turn.extend(calls);
    turn
}

/// What a turn says beside its thoughts and calls.
struct Texts(VecDeque<(Part, Place)>);

impl Texts {
    /// Moves so many characters to the turn. A text that goes on behind them is cut in two.
    fn say(&mut self, mut characters: usize, turn: &mut Vec<(Part, Place)>) {
        while characters > 0
            && let Some((part, place)) = self.0.pop_front()
        {
            let Part::Text { text, citations, extra } = part else {
                turn.push((part, place));
                continue;
            };
            let cut = text.char_indices().nth(characters).map_or(text.len(), |(cut, _)| cut);
            characters -= text[..cut].chars().count();
            if cut == text.len() {
                turn.push((Part::Text { text, citations, extra }, place));
            } else {
                let behind = Part::Text { text: text[cut..].to_owned(), citations, extra };
                turn.push((Part::text(&text[..cut]), place.clone()));
                self.0.push_front((behind, place));
            }
        }
    }
}

/// Whether a part needs a detail: its text alone would not bring it back.
pub(crate) fn is_opaque(part: &Part) -> bool {
    matches!(part, Part::Reasoning { signature: Some(_), .. } | Part::RedactedReasoning { .. })
}

/// Writes the member, if any of the parts needs it.
pub(crate) fn encode(object: &mut Object<'_>, content: &[Part]) {
    if !content.iter().any(is_opaque) {
        return;
    }
    let mut so_far = Before::default();
    let placed = content.iter().map(|part| {
        let before = so_far;
        so_far = so_far.and(part);
        (part, before)
    });
    let reasoning = placed
        .filter(|(part, _)| matches!(part, Part::Reasoning { .. } | Part::RedactedReasoning { .. }))
        .enumerate();
    object.objects("reasoning_details", reasoning, |detail, (index, (part, before))| match part {
        Part::Reasoning { text, signature } => {
            write_text(detail, (index, before), text, signature.as_deref());
        }
        Part::RedactedReasoning { data } => write_encrypted(detail, (index, before), data),
        _ => {}
    });
}

/// A detail of reasoning in the open. It is the turn's thought of that number.
pub(crate) fn write_text(
    detail: &mut Object<'_>,
    (index, before): (usize, Before),
    text: &str,
    signature: Option<&str>,
) {
    detail.field("type", "reasoning.text");
    detail.field("text", text);
    detail.opt("signature", signature);
    detail.opt("id", before.id().as_ref());
    if signature.is_some() {
        detail.field("format", FORMAT);
    }
    detail.field("index", &index);
}

/// A detail of hidden reasoning.
pub(crate) fn write_encrypted(detail: &mut Object<'_>, (index, before): (usize, Before), data: &str) {
    detail.field("type", "reasoning.encrypted");
    detail.field("data", data);
    detail.opt("id", before.id().as_ref());
    detail.field("format", FORMAT);
    detail.field("index", &index);
}

/// A detail in a stream: more text, its signature, or hidden reasoning.
pub(crate) enum Piece {
    Text(String),
    Signature(String),
    Encrypted(String),
}

/// What the details of a delta bring.
pub(crate) fn pieces(details: &Json) -> Vec<Piece> {
    let thoughts = decode(details.raw(), &At::Root).unwrap_or_default();
    let mut pieces = Vec::new();
    for thought in thoughts {
        match thought.part {
            Part::Reasoning { text, signature } => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(text));
                }
                pieces.extend(signature.map(Piece::Signature));
            }
            Part::RedactedReasoning { data } => pieces.push(Piece::Encrypted(data)),
            _ => {}
        }
    }
    pieces
}
