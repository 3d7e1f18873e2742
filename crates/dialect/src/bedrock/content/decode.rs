//! A block into the canonical model. A block is a union: an object with one member, whose name is its kind.

use serde_json::value::RawValue;

use crate::bedrock::content::citations;
use crate::bedrock::content::documents::media_type;
use crate::chat::{CacheTtl, Extra, FileSource, Media, Part, ToolCall, ToolInput, ToolResult};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, Json, elements, readable, string};
use crate::media::checked_base64;

/// What a union holds, and the members that stand beside. Null is the same as absent.
pub(crate) enum Found<'a, 'p> {
    /// One of the kinds that were asked for.
    Known(&'static str, &'a RawValue, Fields<'a, 'p>),
    /// None of them.
    Unknown(Fields<'a, 'p>),
}

/// The one member of a union.
pub(crate) fn one_of<'a, 'p>(
    raw: &'a RawValue,
    at: &'p At<'p>,
    known: &'static [&'static str],
) -> Result<Found<'a, 'p>, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let mut found = None;
    for name in known {
        let Some(value) = fields.take(name) else { continue };
        if let Some((first, _)) = found.replace((*name, value)) {
            let text = format!("`{at}` holds both `{first}` and `{name}`: exactly one is allowed");
            return Err(Fault::invalid(at, text));
        }
    }
    Ok(match found {
        Some((name, value)) => Found::Known(name, value, fields),
        None => Found::Unknown(fields),
    })
}

/// The one member of a union that must be of a known kind.
pub(crate) fn exactly<'a>(
    raw: &'a RawValue,
    at: &At<'_>,
    known: &'static [&'static str],
) -> Result<(&'static str, &'a RawValue), Fault> {
    match one_of(raw, at, known)? {
        Found::Known(name, value, _) => Ok((name, value)),
        Found::Unknown(_) => Err(empty(at, known)),
    }
}

fn empty(at: &At<'_>, known: &[&str]) -> Fault {
    Fault::invalid(at, format!("`{at}` must hold exactly one of {}", known.join(", ")))
}

const BLOCKS: &[&str] = &[
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
    "json",
];

/// A block of a message, of standing instructions or of a tool result. What only this wire has, and what is newer than
/// this code, is carried whole.
pub(crate) fn part(raw: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    block(raw, one_of(raw, at, BLOCKS)?, at)
}

fn block(raw: &RawValue, found: Found<'_, '_>, at: &At<'_>) -> Result<Part, Fault> {
    match found {
        Found::Known("text", value, beside) => {
            let text = text_of(value, &at.field("text"))?;
            Ok(Part::Text { text, citations: Vec::new(), extra: beside.rest() })
        }
        Found::Known(kind, value, beside) => {
            let part = known(kind, raw, value, at)?;
            if matches!(part, Part::Foreign { .. }) {
                beside.whole();
            }
            Ok(part)
        }
        Found::Unknown(members) => {
            let mut kinds = members.rest().into_keys();
            match (kinds.next(), kinds.next()) {
                (Some(kind), None) => Ok(foreign(&kind, raw)),
                _ => Err(empty(at, &BLOCKS[..BLOCKS.len() - 1])),
            }
        }
    }
}

fn known(kind: &'static str, raw: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let inner = at.field(kind);
    match kind {
        "json" => Ok(Part::Json(value.into())),
        "image" => image(raw, value, &inner),
        "audio" => audio(raw, value, &inner),
        "document" => document(raw, value, &inner),
        "toolUse" => tool_use(raw, value, &inner),
        "toolResult" => tool_result(raw, value, &inner),
        "cachePoint" => cache_point(value, &inner).map(Part::CacheMark),
        "reasoningContent" => reasoning(value, &inner),
        "citationsContent" => cited(value, &inner),
        "searchResult" => search_result(value, &inner),
        // `video`, `guardContent`.
        other => {
            Fields::of(value, &inner)?;
            Ok(foreign(other, raw))
        }
    }
}

fn foreign(kind: &str, block: &RawValue) -> Part {
    Part::Foreign { dialect: Dialect::BedrockConverse, kind: kind.to_owned(), block: Json::from(block) }
}

/// A string.
pub(crate) fn text_of(raw: &RawValue, at: &At<'_>) -> Result<String, Fault> {
    match string(raw) {
        Some(text) => Ok(text.into_owned()),
        None => Err(Fault::mistyped(at, "a string", raw)),
    }
}

/// A string among some, which must be there.
fn word(fields: &mut Fields<'_, '_>, name: &str, known: &[&str]) -> Result<String, Fault> {
    word_opt(fields, name, known)?.ok_or_else(|| Fault::missing(&fields.at.field(name)))
}

/// A string among some.
fn word_opt(fields: &mut Fields<'_, '_>, name: &str, known: &[&str]) -> Result<Option<String>, Fault> {
    let Some(word) = fields.text(name)? else { return Ok(None) };
    if known.contains(&word.as_str()) {
        return Ok(Some(word));
    }
    let at = fields.at.field(name);
    let text = format!("`{at}` is `{word}`: expected one of {}", known.join(", "));
    Err(Fault::invalid(&at, text))
}

/// The bytes of a source, as base64. None if they lie in S3.
fn bytes(fields: &mut Fields<'_, '_>) -> Result<Option<String>, Fault> {
    let at = fields.at.field("source");
    let (kind, value) = exactly(fields.need("source")?, &at, &["bytes", "s3Location"])?;
    let inner = at.field(kind);
    match kind {
        "bytes" => checked_base64(text_of(value, &inner)?, &inner).map(Some),
        _ => Ok(None),
    }
}

fn image(block: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let format = word(&mut fields, "format", &["png", "jpeg", "gif", "webp"])?;
    Ok(match bytes(&mut fields)? {
        Some(data) => Part::Image {
            source: Media::Inline { media_type: format!("image/{format}"), data },
            detail: None,
        },
        None => foreign("image", block),
    })
}

/// The formats of sounds.
pub(super) const SOUNDS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg", "mpga", "pcm",
    "webm",
];

fn audio(block: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let format = word(&mut fields, "format", &SOUNDS)?;
    Ok(match bytes(&mut fields)? {
        Some(data) => Part::Audio { format, data },
        None => foreign("audio", block),
    })
}

fn document(block: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let format = fields.text("format")?;
    let known = format.as_deref().map(|format| {
        let at = at.field("format");
        media_type(format).ok_or_else(|| {
            Fault::invalid(&at, format!("`{at}` is `{format}`, which is no format of a document"))
        })
    });
    let known = known.transpose()?;
    let filename = Some(fields.need_text("name")?);
    let context = fields.text("context")?;
    let citations = enabled(&mut fields)?;
    let place = at.field("source");
    let (kind, value) = exactly(fields.need("source")?, &place, &["bytes", "s3Location", "text", "content"])?;
    let inner = place.field(kind);
    let source = match kind {
        "bytes" => FileSource::Inline {
            media_type: known.map(str::to_owned),
            data: checked_base64(text_of(value, &inner)?, &inner)?,
        },
        "text" => FileSource::Text(text_of(value, &inner)?),
        "content" => FileSource::Parts(texts(value, &inner)?.into_iter().map(Part::text).collect()),
        _ => return Ok(foreign("document", block)),
    };
    Ok(Part::File { source, filename, context, citations })
}

/// `citations.enabled`.
fn enabled(fields: &mut Fields<'_, '_>) -> Result<bool, Fault> {
    let at = fields.at.field("citations");
    let Some(raw) = fields.take("citations") else { return Ok(false) };
    Ok(Fields::of(raw, &at)?.flag("enabled")?.unwrap_or(false))
}

/// A list of `{"text"}`.
fn texts(raw: &RawValue, at: &At<'_>) -> Result<Vec<String>, Fault> {
    let text = |(index, raw)| Fields::of(raw, &at.index(index))?.need_text("text");
    elements(raw, at)?.into_iter().enumerate().map(text).collect()
}

fn tool_use(block: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let id = fields.need_text("toolUseId")?;
    let name = fields.need_text("name")?;
    let input = Json::from(fields.need("input")?);
    // The vendor has run this one.
    if fields.take("type").is_some() {
        return Ok(foreign("toolUse", block));
    }
    Ok(Part::ToolCall(ToolCall { id, name, input: ToolInput::Arguments(input.get().to_owned()) }))
}

fn tool_result(block: &RawValue, value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let call_id = fields.need_text("toolUseId")?;
    let list = at.field("content");
    let raws = elements(fields.need("content")?, &list)?;
    if fields.take("type").is_some() {
        return Ok(foreign("toolResult", block));
    }
    let content = raws
        .into_iter()
        .enumerate()
        .map(|(index, raw)| result_part(raw, &list.index(index)))
        .collect::<Result<_, Fault>>()?;
    let is_error = word_opt(&mut fields, "status", &["success", "error"])?.as_deref() == Some("error");
    Ok(Part::ToolResult(ToolResult { call_id, content, is_error }))
}

/// A block of a tool result. No results inside of results: they would nest without end.
fn result_part(raw: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    const HELD: &[&str] = &["text", "json", "image", "document", "video", "searchResult"];
    match one_of(raw, at, BLOCKS)? {
        Found::Known(kind, ..) if !HELD.contains(&kind) => {
            let text = format!("`{at}` is `{kind}`: a tool result holds one of {}", HELD.join(", "));
            Err(Fault::invalid(at, text))
        }
        found => block(raw, found, at),
    }
}

/// The lifetime of a `cachePoint`.
pub(crate) fn cache_point(value: &RawValue, at: &At<'_>) -> Result<CacheTtl, Fault> {
    let mut fields = Fields::of(value, at)?;
    word(&mut fields, "type", &["default"])?;
    let lasting = word_opt(&mut fields, "ttl", &["5m", "1h"])?.as_deref() == Some("1h");
    Ok(if lasting { CacheTtl::OneHour } else { CacheTtl::FiveMinutes })
}

/// Hidden reasoning is carried as it is written. Anthropic's own wire has the same text: base64 on both.
fn reasoning(value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let (kind, value) = exactly(value, at, &["reasoningText", "redactedContent"])?;
    let inner = at.field(kind);
    if kind == "redactedContent" {
        return Ok(Part::RedactedReasoning { data: text_of(value, &inner)? });
    }
    let mut fields = Fields::of(value, &inner)?;
    Ok(Part::Reasoning { text: fields.need_text("text")?, signature: fields.text("signature")? })
}

fn cited(value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let list = at.field("content");
    let text = match fields.take("content") {
        Some(raw) => texts(raw, &list)?.concat(),
        None => String::new(),
    };
    let list = at.field("citations");
    let citations = match fields.take("citations") {
        Some(raw) if raw.get().starts_with('[') => readable(raw, &list, citations::decode),
        Some(raw) => return Err(Fault::mistyped(&list, "an array", raw)),
        None => Vec::new(),
    };
    Ok(Part::Text { text, citations, extra: Extra::new() })
}

fn search_result(value: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(value, at)?;
    let source = fields.need_text("source")?;
    let title = fields.need_text("title")?;
    let list = at.field("content");
    let content = texts(fields.need("content")?, &list)?.into_iter().map(Part::text).collect();
    Ok(Part::SearchResult { source, title, content, citations: enabled(&mut fields)? })
}
