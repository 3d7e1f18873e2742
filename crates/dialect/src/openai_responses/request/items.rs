//! The items of a request. Clients send those of an answer back as they got them: their ids and states mean nothing here.

use serde_json::value::RawValue;

use crate::chat::{Citation, FileSource, Json, Media, Message, Part, Role, ToolCall, ToolInput, ToolResult};
use crate::dialect::Dialect;
use crate::json::{At, Fault, Fields, elements, string};
use crate::media::{checked_base64, data_url};
use crate::openai_responses::echo::flat;
use crate::openai_responses::opaque;
use crate::openai_responses::reply::{annotations, texts};
use crate::openai_responses::request::order::Turns;
use crate::places::Places;

pub(super) fn decode(fields: &mut Fields<'_, '_>, places: &mut Places) -> Result<Vec<Message>, Fault> {
    let mut turns = Turns::default();
    if let Some(raw) = fields.take("instructions") {
        let at = fields.at.field("instructions");
        match string(raw) {
            Some(text) if text.is_empty() => {}
            Some(text) => turns.say(Role::System, vec![(Part::text(text), at.to_string())], &at),
            None => return Err(Fault::mistyped(&at, "a string", raw)),
        }
    }
    let at = fields.at.field("input");
    let raw = match fields.take("input") {
        Some(raw) => raw,
        // The template that OpenAI keeps has it.
        None if fields.has("prompt") => return turns.end(places),
        None => return Err(Fault::missing(&at)),
    };
    if let Some(text) = string(raw) {
        turns.say(Role::User, vec![(Part::text(text), at.to_string())], &at);
        return turns.end(places);
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&at, "a string or an array of items", raw));
    }
    let items = elements(raw, &at)?;
    if items.is_empty() && !fields.has("prompt") {
        return Err(Fault::invalid(&at, "`input` is empty: send at least one item"));
    }
    for (index, raw) in items.into_iter().enumerate() {
        item(raw, &at.index(index), &mut turns)?;
    }
    turns.end(places)
}

fn item(raw: &RawValue, at: &At<'_>, turns: &mut Turns) -> Result<(), Fault> {
    let mut fields = Fields::of(raw, at)?;
    // Many clients leave the type of a message out; the SDKs' type of a reference lets it be left out, too.
    let kind = match fields.text("type")? {
        Some(kind) => kind,
        None if fields.has("role") => "message".to_owned(),
        None if fields.has("id") => "item_reference".to_owned(),
        None => return Err(Fault::missing(&at.field("type"))),
    };
    // Those of an answer that is sent back mean nothing here.
    fields.take("id");
    fields.take("status");
    match kind.as_str() {
        "message" => message(fields, turns),
        "function_call" => {
            let input = ToolInput::Arguments(fields.need_text("arguments")?);
            call(fields, input, turns)
        }
        "custom_tool_call" => {
            let input = ToolInput::Text(fields.need_text("input")?);
            call(fields, input, turns)
        }
        "function_call_output" | "custom_tool_call_output" => {
            let call_id = fields.need_text("call_id")?;
            let content = output(fields.need("output")?, &at.field("output"))?;
            turns.result(ToolResult { call_id, content, is_error: false }, at)
        }
        "reasoning" => {
            let mut said = texts(&mut fields, "summary");
            said.extend(texts(&mut fields, "content"));
            let encrypted = fields.text("encrypted_content")?;
            for part in opaque::parts(said, encrypted.as_deref()) {
                turns.answer(part, &at.to_string(), at);
            }
            Ok(())
        }
        // What OpenAI's own tools did, and items that it keeps.
        other => {
            fields.whole();
            let block = Json::from(raw);
            let part = Part::Foreign { dialect: Dialect::OpenAiResponses, kind: other.to_owned(), block };
            turns.answer(part, &at.to_string(), at);
            Ok(())
        }
    }
}

fn call(mut fields: Fields<'_, '_>, input: ToolInput, turns: &mut Turns) -> Result<(), Fault> {
    let id = fields.need_text("call_id")?;
    let own = fields.need_text("name")?;
    let name = fields.text("namespace")?.map_or_else(|| own.clone(), |namespace| flat(&namespace, &own));
    turns.call(&id.clone(), Part::ToolCall(ToolCall { id, name, input }), fields.at)
}

fn message(mut fields: Fields<'_, '_>, turns: &mut Turns) -> Result<(), Fault> {
    let at = fields.at;
    let role = match fields.need_text("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let at = at.field("role");
            let text = format!("`{at}` is `{other}`: expected system, developer, user or assistant");
            return Err(Fault::invalid(&at, text));
        }
    };
    let place = at.field("content");
    let raw = fields.need("content")?;
    if let Some(text) = string(raw) {
        let part = Part::text(text);
        turns.say(role, vec![(part, place.to_string())], at);
        return Ok(());
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(&place, "a string or an array of parts", raw));
    }
    let mut parts = Vec::new();
    for (index, raw) in elements(raw, &place)?.into_iter().enumerate() {
        let at = place.index(index);
        parts.push((part(raw, &at, role == Role::Assistant)?, at.to_string()));
    }
    turns.say(role, parts, at);
    Ok(())
}

/// What a tool brought.
fn output(raw: &RawValue, at: &At<'_>) -> Result<Vec<Part>, Fault> {
    if let Some(text) = string(raw) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !raw.get().starts_with('[') {
        return Err(Fault::mistyped(at, "a string or an array of parts", raw));
    }
    let parts = elements(raw, at)?.into_iter().enumerate();
    parts.map(|(index, raw)| part(raw, &at.index(index), false)).collect()
}

/// A part. The model's own are text and refusals alone. Text is taken under each of its names: clients mix them up.
fn part(raw: &RawValue, at: &At<'_>, models: bool) -> Result<Part, Fault> {
    let mut fields = Fields::of(raw, at)?;
    let kind = fields.need_text("type")?;
    match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            let text = fields.need_text("text")?;
            fields.take("logprobs");
            let place = at.field("annotations");
            let cited = fields.take("annotations").map(|raw| annotations(raw, &place));
            let citations: Vec<Citation> = cited.unwrap_or_default();
            Ok(Part::Text { text, citations, extra: fields.rest() })
        }
        "refusal" if models => Ok(Part::Refusal { text: fields.need_text("refusal")? }),
        "input_image" if !models => image(fields),
        "input_file" if !models => file(fields),
        "input_audio" if !models => {
            let at = at.field("input_audio");
            let mut audio = Fields::of(fields.need("input_audio")?, &at)?;
            let data = audio.need_text("data")?;
            let format = audio.need_text("format")?;
            Ok(Part::Audio { format, data: checked_base64(data, &at.field("data"))? })
        }
        other => {
            let at = at.field("type");
            let expected =
                if models { "output_text or refusal" } else { "input_text, input_image or input_file" };
            Err(Fault::invalid(&at, format!("`{at}` is `{other}`: expected {expected}")))
        }
    }
}

fn image(mut fields: Fields<'_, '_>) -> Result<Part, Fault> {
    let detail = fields.text("detail")?;
    if let Some(id) = fields.text("file_id")? {
        return Ok(Part::Image { source: Media::Id(id), detail });
    }
    let at = fields.at.field("image_url");
    let url = fields.need_text("image_url")?;
    let source = match data_url(&url, &at)? {
        Some((media_type, data)) => Media::Inline { media_type, data },
        None if url.starts_with("https://") || url.starts_with("http://") => Media::Url(url),
        None => {
            let text = format!("`{at}` must be an http(s) URL or a data URL with base64");
            return Err(Fault::invalid(&at, text));
        }
    };
    Ok(Part::Image { source, detail })
}

fn file(mut fields: Fields<'_, '_>) -> Result<Part, Fault> {
    let filename = fields.text("filename")?;
    let document = |source| Part::File { source, filename, context: None, citations: false };
    if let Some(id) = fields.text("file_id")? {
        return Ok(document(FileSource::Id(id)));
    }
    if let Some(url) = fields.text("file_url")? {
        return Ok(document(FileSource::Url(url)));
    }
    let at = fields.at.field("file_data");
    let written = fields.need_text("file_data")?;
    let source = match data_url(&written, &at)? {
        Some((media_type, data)) => FileSource::Inline { media_type: Some(media_type), data },
        None => FileSource::Inline { media_type: None, data: checked_base64(written, &at)? },
    };
    Ok(document(source))
}
