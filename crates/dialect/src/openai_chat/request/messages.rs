//! The messages of a request.
//!
//! Clients replay what they were answered, with members that are no part of a request: those are kept in `extra`
//! and refused by nobody.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use crate::chat::{FileSource, Media, Message, Part, Role, ToolCall, ToolInput, ToolResult};
use crate::json::{At, Fault, Fields, elements, string};

pub(super) fn decode(raw: &RawValue) -> Result<Vec<Message>, Fault> {
    let at = At::Root.field("messages");
    let raws = elements(raw, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: send at least one message"));
    }
    let mut legacy = Legacy::default();
    raws.into_iter().enumerate().map(|(index, raw)| message(raw, &at.index(index), &mut legacy)).collect()
}

/// Calls of the form of 2023, which have no ids: a result answers the last call of its name.
#[derive(Default)]
struct Legacy {
    calls: Vec<String>,
}

impl Legacy {
    fn id(number: usize) -> String {
        format!("call_legacy_{number}")
    }

    fn open(&mut self, name: &str) -> String {
        self.calls.push(name.to_owned());
        Self::id(self.calls.len())
    }

    fn answer(&self, name: &str) -> Option<String> {
        self.calls.iter().rposition(|call| call == name).map(|index| Self::id(index + 1))
    }
}

fn message(raw: &RawValue, at: &At<'_>, legacy: &mut Legacy) -> Result<Message, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let word = fields.need_text("role")?;
    let role = match word.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        other => {
            let at = at.field("role");
            let text = format!("`{at}` is `{other}`: expected system, developer, user, assistant or tool");
            return Err(Fault::invalid(&at, text));
        }
    };
    let mut name = fields.text("name")?;
    let mut said = content(&mut fields, role)?;
    let content = match role {
        Role::System | Role::Developer | Role::User => said,
        Role::Assistant => {
            let mut parts = Vec::new();
            // Two names for one thing; a message that has both says the same twice.
            let thought = reasoning(&mut fields).filter(|text| !text.is_empty());
            parts.extend(thought.map(|text| Part::Reasoning { text }));
            parts.append(&mut said);
            parts.extend(fields.text("refusal")?.map(|text| Part::Refusal { text }));
            if let Some(raw) = fields.take("audio") {
                let id = Fields::of(raw, &at.field("audio"))?.need_text("id")?;
                parts.push(Part::AudioRef { id });
            }
            tool_calls(&mut fields, &mut parts, legacy)?;
            parts
        }
        Role::Tool => {
            let call_id = if word == "tool" {
                fields.need_text("tool_call_id")?
            } else {
                fields.take("tool_call_id");
                let called = name.take().ok_or_else(|| Fault::missing(&at.field("name")))?;
                legacy.answer(&called).ok_or_else(|| {
                    let at = at.field("name");
                    Fault::invalid(&at, format!("`{at}` is `{called}`, but no earlier message calls it"))
                })?
            };
            vec![Part::ToolResult(ToolResult { call_id, content: said, is_error: false })]
        }
    };
    Ok(Message { role, name, content, extra: fields.rest() })
}

/// What the model thought, under either name. What is no text is carried as it is.
fn reasoning(fields: &mut Fields<'_, '_>) -> Option<String> {
    if !fields.has("reasoning_content") {
        return fields.text_or_leave("reasoning");
    }
    let thought = fields.text_or_leave("reasoning_content")?;
    fields.text_or_leave("reasoning");
    Some(thought)
}

fn content(fields: &mut Fields<'_, '_>, role: Role) -> Result<Vec<Part>, Fault> {
    let at = fields.at.field("content");
    let Some(raw) = fields.take("content") else {
        return match role {
            Role::Assistant | Role::Tool => Ok(Vec::new()),
            Role::System | Role::Developer | Role::User => Err(Fault::missing(&at)),
        };
    };
    if let Some(text) = string(raw) {
        let text = text.into_owned();
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&at, "a string or an array of parts", raw));
    }
    elements(raw, &at)?
        .into_iter()
        .enumerate()
        .map(|(index, raw)| part(raw, &at.index(index), role))
        .collect()
}

/// A part. Everybody writes text, users alone send media, and only the model refuses.
fn part(raw: &RawValue, at: &At<'_>, role: Role) -> Result<Part, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    let (expected, good) = match role {
        Role::User => ("text, image_url, input_audio or file", kind != "refusal"),
        Role::Assistant => ("text or refusal", matches!(kind.as_str(), "text" | "refusal")),
        Role::System | Role::Developer | Role::Tool => ("text", kind == "text"),
    };
    let unexpected = || {
        let at = at.field("type");
        Fault::invalid(&at, format!("`{at}` is `{kind}`: expected {expected}"))
    };
    if !good {
        return Err(unexpected());
    }
    match kind.as_str() {
        "text" => Ok(Part::Text { text: fields.need_text("text")?, extra: fields.rest() }),
        "refusal" => Ok(Part::Refusal { text: fields.need_text("refusal")? }),
        "image_url" => image(fields.need("image_url")?, &at.field("image_url")),
        "input_audio" => {
            let at = at.field("input_audio");
            let mut audio = Fields::of(fields.need("input_audio")?, &at)?;
            let data = audio.need_text("data")?;
            Ok(Part::Audio { format: audio.need_text("format")?, data: base64(data, &at.field("data"))? })
        }
        "file" => file(fields.need("file")?, &at.field("file")),
        _ => Err(unexpected()),
    }
}

fn image(raw: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    if let Some(url) = string(raw) {
        // Mistral's short form.
        return Ok(Part::Image { source: media(url.into_owned(), at)?, detail: None });
    }
    let mut fields = Fields::of(raw, at)?;
    let source = media(fields.need_text("url")?, &at.field("url"))?;
    let detail = fields.text("detail")?;
    if let Some(word) = detail.as_deref().filter(|word| !matches!(*word, "auto" | "low" | "high")) {
        let at = at.field("detail");
        return Err(Fault::invalid(&at, format!("`{at}` is `{word}`: expected auto, low or high")));
    }
    Ok(Part::Image { source, detail })
}

fn media(url: String, at: &At<'_>) -> Result<Media, Fault> {
    if let Some((media_type, data)) = data_url(&url, at)? {
        return Ok(Media::Inline { media_type, data });
    }
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(Media::Url(url));
    }
    Err(Fault::invalid(at, format!("`{at}` must be an http(s) URL or a data URL with base64")))
}

fn file(raw: &RawValue, at: &At<'_>) -> Result<Part, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let filename = fields.text("filename")?;
    if let Some(id) = fields.text("file_id")? {
        return Ok(Part::File { source: FileSource::Id(id), filename });
    }
    let place = at.field("file_data");
    let written = fields.need_text("file_data")?;
    let source = match data_url(&written, &place)? {
        Some((media_type, data)) => FileSource::Inline { media_type: Some(media_type), data },
        None => FileSource::Inline { media_type: None, data: base64(written, &place)? },
    };
    Ok(Part::File { source, filename })
}

/// The media type and the checked base64 of a data URL (RFC 2397). None if it is no data URL.
fn data_url(url: &str, at: &At<'_>) -> Result<Option<(String, String)>, Fault> {
    let Some((scheme, rest)) =
        url.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("data:"))
    else {
        return Ok(None);
    };
    debug_assert_eq!(scheme.len(), 5);
    let Some((head, data)) = rest.split_once(',') else {
        return Err(Fault::invalid(at, format!("`{at}` is a data URL without a comma")));
    };
    let Some(media_type) = head.strip_suffix(";base64") else {
        return Err(Fault::invalid(
            at,
            format!("`{at}` must be a data URL with base64: data:TYPE;base64,DATA"),
        ));
    };
    if !media_type.contains('/') {
        return Err(Fault::invalid(at, format!("`{at}` is a data URL without a media type")));
    }
    Ok(Some((media_type.to_owned(), base64(data.to_owned(), at)?)))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn base64(data: String, at: &At<'_>) -> Result<String, Fault> {
    if data.is_empty() {
        return Err(Fault::invalid(at, format!("`{at}` holds no data")));
    }
    match BASE64.decode(&data) {
        Ok(_) => Ok(data),
        Err(error) => Err(Fault::invalid(at, format!("`{at}` is not valid base64: {}", lower(&error)))),
    }
}

fn lower(error: &base64::DecodeError) -> String {
    match error {
        base64::DecodeError::InvalidByte(offset, _) => format!("a wrong byte at offset {offset}"),
        base64::DecodeError::InvalidLength(length) => format!("{length} characters cannot be base64"),
        base64::DecodeError::InvalidLastSymbol(offset, _) => {
            format!("a wrong last character at offset {offset}")
        }
        base64::DecodeError::InvalidPadding => "wrong padding".into(),
    }
}

fn tool_calls(fields: &mut Fields<'_, '_>, parts: &mut Vec<Part>, legacy: &mut Legacy) -> Result<(), Fault> {
    if let Some(raw) = fields.take("tool_calls") {
        let at = fields.at.field("tool_calls");
        for (index, raw) in elements(raw, &at)?.into_iter().enumerate() {
            parts.push(Part::ToolCall(tool_call(raw, &at.index(index))?));
        }
    }
    if let Some(raw) = fields.take("function_call") {
        let at = fields.at.field("function_call");
        let mut call = Fields::of(raw, &at)?;
        let name = call.need_text("name")?;
        let input = ToolInput::Arguments(call.need_text("arguments")?);
        parts.push(Part::ToolCall(ToolCall { id: legacy.open(&name), name, input }));
    }
    Ok(())
}

fn tool_call(raw: &RawValue, at: &At<'_>) -> Result<ToolCall, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let id = fields.need_text("id")?;
    // Some clients leave the type out; only functions existed when they were written.
    let kind = fields.text("type")?.unwrap_or_else(|| "function".into());
    let inner = at.field(&kind);
    match kind.as_str() {
        "function" => {
            let mut call = Fields::of(fields.need("function")?, &inner)?;
            let name = call.need_text("name")?;
            Ok(ToolCall { id, name, input: ToolInput::Arguments(call.need_text("arguments")?) })
        }
        "custom" => {
            let mut call = Fields::of(fields.need("custom")?, &inner)?;
            Ok(ToolCall {
                id,
                name: call.need_text("name")?,
                input: ToolInput::Text(call.need_text("input")?),
            })
        }
        other => {
            let at = at.field("type");
            Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected function or custom")))
        }
    }
}
