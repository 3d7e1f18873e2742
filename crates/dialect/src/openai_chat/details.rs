//! `reasoning_details`: how signed and hidden reasoning rides through clients of this wire, which has no word for it.
//!
//! The form is `OpenRouter`'s (its documentation, "Reasoning tokens"), which agents already replay: a list of
//! `{"type":"reasoning.text","text","signature","format","index"}` and `{"type":"reasoning.encrypted","data",…}`.

use serde_json::value::RawValue;

use crate::chat::{Json, Part};
use crate::json::{At, Fields, Object, elements};

/// Whose signatures these are. The only ones known here.
const FORMAT: &str = "anthropic-claude-v1";

/// Parts from a list of details. None if it is no list or holds none that can be read.
pub(crate) fn decode(raw: &RawValue) -> Option<Vec<Part>> {
    let at = At::Root;
    let parts: Vec<Part> = elements(raw, &at).ok()?.into_iter().filter_map(|raw| part(raw, &at)).collect();
    (!parts.is_empty()).then_some(parts)
}

fn part(raw: &RawValue, at: &At<'_>) -> Option<Part> {
    let mut fields = Fields::of(raw, at).ok()?;
    match fields.text_or_leave("type")?.as_str() {
        "reasoning.text" => Some(Part::Reasoning {
            text: fields.text_or_leave("text").unwrap_or_default(),
            signature: fields.text_or_leave("signature"),
        }),
        "reasoning.summary" => fields.text_or_leave("summary").map(Part::reasoning),
        "reasoning.encrypted" => fields.text_or_leave("data").map(|data| Part::RedactedReasoning { data }),
        _ => None,
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
    let reasoning =
        content.iter().filter(|part| matches!(part, Part::Reasoning { .. } | Part::RedactedReasoning { .. }));
    object.objects("reasoning_details", reasoning.enumerate(), |detail, (index, part)| match part {
        Part::Reasoning { text, signature } => {
            write_text(detail, index, Some(text), signature.as_deref());
        }
        Part::RedactedReasoning { data } => write_encrypted(detail, index, data),
        _ => {}
    });
}

/// A detail of reasoning in the open, or a piece of one.
pub(crate) fn write_text(detail: &mut Object<'_>, index: usize, text: Option<&str>, signature: Option<&str>) {
    detail.field("type", "reasoning.text");
    detail.opt("text", text);
    detail.opt("signature", signature);
    if signature.is_some() {
        detail.field("format", FORMAT);
    }
    detail.field("index", &index);
}

/// A detail of hidden reasoning.
pub(crate) fn write_encrypted(detail: &mut Object<'_>, index: usize, data: &str) {
    detail.field("type", "reasoning.encrypted");
    detail.field("data", data);
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
    let parts = decode(details.raw()).unwrap_or_default();
    let mut pieces = Vec::new();
    for part in parts {
        match part {
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
