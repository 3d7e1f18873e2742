//! Content blocks into parts.
//!
//! A block that the canonical model has no word for is carried whole, with its marks, as [`Part::Foreign`]: the
//! vendor's own tools, their results, and blocks with members that only this wire understands.

use serde_json::value::RawValue;

use crate::anthropic::citation;
use crate::anthropic::request::decode::cache_ttl;
use crate::chat::{FileSource, Media, Part, ToolCall, ToolInput, ToolResult};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, compact, elements, string};
use crate::media::checked_base64;
use crate::places::Place;

/// Whose blocks they are, and by which version's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The user's.
    User {
        /// The rules of version `2026-10-21`.
        strict: bool,
    },
    /// The model's.
    Assistant {
        /// The rules of version `2026-10-21`.
        strict: bool,
    },
    /// Inside of another block.
    Inner {
        /// The rules of version `2026-10-21`.
        strict: bool,
        /// How many blocks it is inside of.
        depth: u8,
    },
}

/// Text in the content of a document in a tool result is as deep as the wire goes.
const DEEPEST: u8 = 3;

impl Side {
    fn strict(self) -> bool {
        match self {
            Self::User { strict } | Self::Assistant { strict } | Self::Inner { strict, .. } => strict,
        }
    }

    /// Inside of a block that stands at `at`.
    fn inner(self, at: &At<'_>) -> Result<Self, Fault> {
        let depth = match self {
            Self::User { .. } | Self::Assistant { .. } => 1,
            Self::Inner { depth, .. } => depth + 1,
        };
        if depth > DEEPEST {
            return Err(Fault::invalid(at, format!("`{at}` is nested too deeply: blocks go {DEEPEST} deep")));
        }
        Ok(Self::Inner { strict: self.strict(), depth })
    }
}

/// The blocks of an array. A mark becomes a part of its own, after the part it stands on.
pub(crate) fn decode(raw: &RawValue, at: &At<'_>, side: Side) -> Result<Vec<Part>, Fault> {
    let raws = elements(raw, at)?;
    let mut parts = Vec::with_capacity(raws.len());
    for (index, raw) in raws.into_iter().enumerate() {
        block(raw, &at.index(index), side, &mut parts)?;
    }
    Ok(parts)
}

/// A string or an array of text blocks.
pub(super) fn texts(raw: &RawValue, at: &At<'_>) -> Result<Vec<Part>, Fault> {
    if let Some(text) = string(raw) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(at, "a string or an array of text blocks", raw));
    }
    let parts = decode(raw, at, Side::Inner { strict: false, depth: 1 })?;
    let stranger = parts.iter().find(|part| !matches!(part, Part::Text { .. } | Part::CacheMark(_)));
    match stranger {
        None => Ok(parts),
        Some(_) => Err(Fault::invalid(at, format!("`{at}` may hold text blocks only"))),
    }
}

/// Where each part stood that was read from `raw`.
pub(super) fn places(parts: &[Part], at: &At<'_>, raw: &RawValue) -> Vec<Place> {
    if !raw.get().starts_with('[') {
        return parts.iter().map(|_| Place::new(at, "")).collect();
    }
    listed(parts, at)
}

/// Where each part stood in an array of blocks. A result that is a string holds one text, of which nothing is lost.
fn listed(parts: &[Part], at: &At<'_>) -> Vec<Place> {
    let mut blocks = 0;
    let place = |part: &Part| {
        if matches!(part, Part::CacheMark(_)) {
            return Place::new(&at.index(blocks - 1).field("cache_control"), "");
        }
        blocks += 1;
        let at = at.index(blocks - 1);
        match part {
            Part::ToolResult(result) => {
                Place::new(&at, "").holding(listed(&result.content, &at.field("content")))
            }
            _ => Place::new(&at, ""),
        }
    };
    parts.iter().map(place).collect()
}

fn block(raw: &RawValue, at: &At<'_>, side: Side, out: &mut Vec<Part>) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    let mark =
        fields.take("cache_control").map(|raw| cache_ttl(raw, &at.field("cache_control"))).transpose()?;
    let part = match kind.as_str() {
        "text" => Some(text(&mut fields, at, side)?),
        "image" => image(&mut fields, at)?,
        "document" => Some(document(&mut fields, at, side)?),
        "search_result" => Some(search_result(&mut fields, at, side)?),
        "thinking" => Some(Part::Reasoning {
            text: fields.need_text("thinking")?,
            // What another model thought carries no proof.
            signature: fields.text("signature")?.filter(|signature| !signature.is_empty()),
        }),
        "redacted_thinking" => Some(Part::RedactedReasoning { data: fields.need_text("data")? }),
        "tool_use" => tool_use(&mut fields, at)?,
        "tool_result" => tool_result(&mut fields, at, side)?,
        _ => None,
    };
    // Members of a text are carried beside it; those of any other block go with the whole of it.
    let rest = fields.rest();
    let part = match part {
        Some(Part::Text { text, citations, .. }) => Part::Text { text, citations, extra: rest },
        Some(part) if rest.is_empty() => part,
        _ => {
            at.carried();
            out.push(Part::Foreign { dialect: Dialect::AnthropicMessages, kind, block: raw.into() });
            return Ok(());
        }
    };
    out.push(part);
    out.extend(mark.map(Part::CacheMark));
    Ok(())
}

fn text(fields: &mut Fields<'_, '_>, at: &At<'_>, side: Side) -> Result<Part, Fault> {
    let text = fields.need_text("text")?;
    let citations = fields.take("citations");
    if side.strict()
        && !matches!(side, Side::Assistant { .. })
        && citations.is_some_and(|raw| raw.get() != "[]")
    {
        let at = at.field("citations");
        return Err(Fault::invalid(
            &at,
            format!(
                "`{at}`: only text of the assistant has citations in this anthropic-version: leave them out"
            ),
        ));
    }
    let place = at.field("citations");
    let citations = citations.map(|raw| citation::decode_list(raw, &place)).unwrap_or_default();
    Ok(Part::Text { text, citations, extra: crate::chat::Extra::new() })
}

/// None if the source is of a kind that nobody knows.
fn image(fields: &mut Fields<'_, '_>, at: &At<'_>) -> Result<Option<Part>, Fault> {
    let at = at.field("source");
    let mut source = Fields::of(fields.need("source")?, &at)?;
    let source = match source.need_text("type")?.as_str() {
        "base64" => Media::Inline {
            media_type: source.need_text("media_type")?,
            data: checked_base64(source.need_text("data")?, &at.field("data"))?,
        },
        "url" => Media::Url(source.need_text("url")?),
        "file" => Media::Id(source.need_text("file_id")?),
        _ => return Ok(None),
    };
    Ok(Some(Part::Image { source, detail: None }))
}

fn document(fields: &mut Fields<'_, '_>, at: &At<'_>, side: Side) -> Result<Part, Fault> {
    if matches!(side, Side::Assistant { strict: true }) {
        return Err(Fault::invalid(
            at,
            format!(
                "`{at}` is a document of the assistant, which this anthropic-version refuses: put it into a user message"
            ),
        ));
    }
    let place = at.field("source");
    let mut source = Fields::of(fields.need("source")?, &place)?;
    let source = match source.need_text("type")?.as_str() {
        "base64" => FileSource::Inline {
            media_type: Some(source.need_text("media_type")?),
            data: checked_base64(source.need_text("data")?, &place.field("data"))?,
        },
        "text" => {
            // There is one kind of text.
            source.take_if("media_type", |raw| (raw.get() == "\"text/plain\"").then_some(()));
            FileSource::Text(source.need_text("data")?)
        }
        "url" => FileSource::Url(source.need_text("url")?),
        "file" => FileSource::Id(source.need_text("file_id")?),
        "content" => {
            let at = place.field("content");
            let raw = source.need("content")?;
            match string(raw) {
                Some(text) => FileSource::Parts(vec![Part::text(text)]),
                None => FileSource::Parts(decode(raw, &at, side.inner(&at)?)?),
            }
        }
        other => {
            let at = place.field("type");
            let text = format!("`{at}` is `{other}`: expected base64, text, content, url or file");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok(Part::File {
        source,
        filename: fields.text("title")?,
        context: fields.text("context")?,
        citations: cited(fields, at)?,
    })
}

/// Whether the answer may cite the block.
fn cited(fields: &mut Fields<'_, '_>, at: &At<'_>) -> Result<bool, Fault> {
    let Some(raw) = fields.take("citations") else { return Ok(false) };
    let at = at.field("citations");
    Ok(Fields::of(raw, &at)?.flag("enabled")?.unwrap_or(false))
}

fn search_result(fields: &mut Fields<'_, '_>, at: &At<'_>, side: Side) -> Result<Part, Fault> {
    let place = at.field("content");
    Ok(Part::SearchResult {
        source: fields.need_text("source")?,
        title: fields.need_text("title")?,
        content: decode(fields.need("content")?, &place, side.inner(&place)?)?,
        citations: cited(fields, at)?,
    })
}

/// None if only this wire knows who calls.
fn tool_use(fields: &mut Fields<'_, '_>, at: &At<'_>) -> Result<Option<Part>, Fault> {
    let id = fields.need_text("id")?;
    let name = fields.need_text("name")?;
    let input = fields.need("input")?;
    if !input.get().starts_with('{') {
        return Err(Fault::mistyped(&at.field("input"), "an object", input));
    }
    let direct = |raw: &RawValue| {
        let at = At::Root;
        let mut caller = Fields::of(raw, &at).ok()?;
        let kind = caller.text_or_leave("type")?;
        (kind == "direct" && caller.rest().is_empty()).then_some(())
    };
    // Any other caller stays among the rest, which makes the block foreign.
    fields.take_if("caller", direct);
    let input = ToolInput::Arguments(compact(input.get()).into_owned());
    Ok(Some(Part::ToolCall(ToolCall { id, name, input })))
}

fn tool_result(fields: &mut Fields<'_, '_>, at: &At<'_>, side: Side) -> Result<Option<Part>, Fault> {
    let call_id = fields.need_text("tool_use_id")?;
    let is_error = fields.flag("is_error")?.unwrap_or(false);
    let place = at.field("content");
    let content = match fields.take("content") {
        None => Vec::new(),
        Some(raw) => match string(raw) {
            Some(text) if text.is_empty() => Vec::new(),
            Some(text) => vec![Part::text(text)],
            None if raw.get().starts_with('[') => decode(raw, &place, side.inner(&place)?)?,
            None => return Err(Fault::mistyped(&place, "a string or an array of blocks", raw)),
        },
    };
    Ok(Some(Part::ToolResult(ToolResult { call_id, content, is_error })))
}

/// Whether a part answers a tool call.
pub(super) fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult(_)) || foreign_result(part).is_some()
}

/// The id of a call that only this wire can write.
pub(super) fn foreign_call(part: &Part) -> Option<String> {
    foreign_member(part, "tool_use", "id")
}

/// The id of the call that is answered by a result that only this wire can write.
pub(super) fn foreign_result(part: &Part) -> Option<String> {
    foreign_member(part, "tool_result", "tool_use_id")
}

fn foreign_member(part: &Part, wanted: &str, member: &str) -> Option<String> {
    match part {
        Part::Foreign { dialect: Dialect::AnthropicMessages, kind, block } if kind == wanted => {
            Fields::of(block.raw(), &At::Root).ok()?.text_or_leave(member)
        }
        _ => None,
    }
}
