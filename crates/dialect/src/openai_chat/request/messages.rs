//! The messages of a request.
//!
//! Clients replay what they were answered, with members that are no part of a request: those are kept in `extra`
//! and refused by nobody.

use serde_json::value::RawValue;

use crate::chat::{FileSource, Media, Message, Part, Role, ToolCall, ToolInput, ToolResult};
use crate::json::{At, Fault, Fields, elements, string};
use crate::media::{checked_base64, data_url};
use crate::openai_chat::details;
use crate::openai_chat::reply::reasoning;
use crate::places::{Place, Places};

pub(super) fn decode(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Message>, Fault> {
    let at = fields.at.field("messages");
    let raws = elements(fields.need("messages")?, &at)?;
    if raws.is_empty() {
        return Err(Fault::invalid(&at, "`messages` is empty: send at least one message"));
    }
    let mut legacy = Legacy::default();
    let read = |(index, raw)| message(raw, &at.index(index), &mut legacy, places);
    raws.into_iter().enumerate().map(read).collect()
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

    fn is(id: &str) -> bool {
        id.starts_with("call_legacy_")
    }

    fn open(&mut self, name: &str) -> String {
        self.calls.push(name.to_owned());
        Self::id(self.calls.len())
    }

    fn answer(&self, name: &str) -> Option<String> {
        self.calls.iter().rposition(|call| call == name).map(|index| Self::id(index + 1))
    }
}

fn message(raw: &RawValue, at: &At<'_>, legacy: &mut Legacy, places: &mut Places) -> Result<Message, Fault> {
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
    let (said, listed) = content(&mut fields, role)?;
    let count = said.len();
    let mut thoughts = Vec::new();
    let content = match role {
        Role::System | Role::Developer | Role::User => said,
        Role::Assistant => {
            thoughts = reasoning(&mut fields);
            let mut parts = said;
            parts.extend(fields.text("refusal")?.map(|text| Part::Refusal { text }));
            if let Some(raw) = fields.take("audio") {
                let id = Fields::of(raw, &at.field("audio"))?.need_text("id")?;
                parts.push(Part::AudioRef { id });
            }
            tool_calls(&mut fields, &mut parts, legacy)?;
            // OpenAI's SDKs read structured answers and send back what they made of the text beside it.
            fields.take("parsed");
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
    let stood = places_of(&content, at, listed, count);
    let thoughts = thoughts.into_iter().map(|thought| {
        let place = place_of_thought(&thought.part, at);
        (thought, place)
    });
    let turn = details::restore(thoughts.collect(), content.into_iter().zip(stood).collect());
    let (content, stood) = turn.into_iter().unzip();
    places.message(at, stood);
    Ok(Message { role, name, content, extra: fields.rest() })
}

/// Where a thought stood.
fn place_of_thought(part: &Part, at: &At<'_>) -> Place {
    let unproved = matches!(part, Part::Reasoning { signature: None, .. });
    let member = if unproved { "reasoning_content" } else { "reasoning_details" };
    Place::new(&at.field(member), "")
}

/// Where each part stood but the thoughts. `count` of them were said in `content`: as an array, if it is `listed`.
fn places_of(parts: &[Part], at: &At<'_>, listed: bool, count: usize) -> Vec<Place> {
    let content = at.field("content");
    let (mut said, mut calls) = (0, 0);
    let place = |part: &Part| {
        let member = match part {
            Part::ToolResult(result) => {
                let held = (0..result.content.len()).map(|number| Place::new(&content.index(number), ""));
                return Place::new(at, "").holding(held.collect());
            }
            _ if said < count => {
                said += 1;
                let inner = match part {
                    Part::Image { .. } => "image_url",
                    Part::File { .. } => "file",
                    Part::Audio { .. } => "input_audio",
                    _ => "",
                };
                let at = if listed { content.index(said - 1) } else { content };
                return Place::new(&at, inner);
            }
            Part::Refusal { .. } => "refusal",
            Part::AudioRef { .. } => "audio",
            Part::ToolCall(call) if Legacy::is(&call.id) => "function_call",
            _ => {
                calls += 1;
                return Place::new(&at.field("tool_calls").index(calls - 1), "");
            }
        };
        Place::new(&at.field(member), "")
    };
    parts.iter().map(place).collect()
}

/// The parts, and whether they stand in an array.
fn content(fields: &mut Fields<'_, '_>, role: Role) -> Result<(Vec<Part>, bool), Fault> {
    let at = fields.at.field("content");
    let Some(raw) = fields.take("content") else {
        return match role {
            Role::Assistant | Role::Tool => Ok((Vec::new(), false)),
            Role::System | Role::Developer | Role::User => Err(Fault::missing(&at)),
        };
    };
    if let Some(text) = string(raw) {
        let text = text.into_owned();
        let parts = if text.is_empty() { Vec::new() } else { vec![Part::text(text)] };
        return Ok((parts, false));
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&at, "a string or an array of parts", raw));
    }
    let raws = elements(raw, &at)?.into_iter().enumerate();
    let parts = raws.map(|(index, raw)| part(raw, &at.index(index), role));
    Ok((parts.collect::<Result<_, _>>()?, true))
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
        "text" => {
            Ok(Part::Text { text: fields.need_text("text")?, citations: Vec::new(), extra: fields.rest() })
        }
        "refusal" => Ok(Part::Refusal { text: fields.need_text("refusal")? }),
        "image_url" => image(fields.need("image_url")?, &at.field("image_url")),
        "input_audio" => {
            let at = at.field("input_audio");
            let mut audio = Fields::of(fields.need("input_audio")?, &at)?;
            let data = audio.need_text("data")?;
            Ok(Part::Audio {
                format: audio.need_text("format")?,
                data: checked_base64(data, &at.field("data"))?,
            })
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
        return Ok(document(FileSource::Id(id), filename));
    }
    let place = at.field("file_data");
    let written = fields.need_text("file_data")?;
    let source = match data_url(&written, &place)? {
        Some((media_type, data)) => FileSource::Inline { media_type: Some(media_type), data },
        None => FileSource::Inline { media_type: None, data: checked_base64(written, &place)? },
    };
    Ok(document(source, filename))
}

fn document(source: FileSource, filename: Option<String>) -> Part {
    Part::File { source, filename, context: None, citations: false }
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
    // Who puts a streamed answer together sends its numbers back.
    fields.take("index");
    // Some clients leave the type out; only functions existed when they were written.
    let kind = fields.text("type")?.unwrap_or_else(|| "function".into());
    let inner = at.field(&kind);
    match kind.as_str() {
        "function" => {
            let mut call = Fields::of(fields.need("function")?, &inner)?;
            let name = call.need_text("name")?;
            call.take("parsed_arguments");
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
