//! Parts into content blocks.
//!
//! Two steps: `prepare` finds what the wire takes of a part and names what is lost; `write_blocks` writes what it
//! found and loses nothing.

use std::borrow::Cow;

use base64::Engine;
use serde_json::value::RawValue;

use crate::anthropic::citation;
use crate::anthropic::request::blocks::is_result;
use crate::anthropic::request::turns::Ids;
use crate::chat::{CacheTtl, FileSource, Media, Part, ToolCall, ToolInput, ToolResult};
use crate::dialect::Dialect;
use crate::framing;
use crate::json::Object;
use crate::loss::{Loss, Losses, strangers};
use crate::media::BASE64;

/// The member that is a mark.
pub(super) const CACHE_CONTROL: &str = "cache_control";

/// A content block.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) piece: Piece<'a>,
    /// The vendor caches everything up to here.
    pub(super) cache: Option<CacheTtl>,
}

/// What a block holds.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    /// A part that the wire has a block for.
    Part(Cow<'a, Part>),
    /// The model calls a tool.
    Call(&'a ToolCall),
    /// The answer to a call.
    Result { result: &'a ToolResult, content: Vec<Block<'a>> },
}

/// What `prepare` must know of the request.
pub(super) struct Context<'c> {
    /// The request speaks this wire's own words.
    pub(super) own: bool,
    /// The vendor is not Anthropic and checks no signatures.
    pub(super) compatible: bool,
    pub(super) losses: &'c mut Losses,
}

impl Block<'_> {
    pub(super) fn text(text: String) -> Self {
        Self { piece: Piece::Part(Cow::Owned(Part::text(text))), cache: None }
    }

    /// The text, if it is nothing else and bears no mark.
    pub(super) fn plain_text(&self) -> Option<&String> {
        let Piece::Part(part) = &self.piece else { return None };
        match part.as_ref() {
            Part::Text { text, citations, extra }
                if citations.is_empty() && extra.is_empty() && self.cache.is_none() =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    pub(super) fn text_mut(&mut self) -> Option<&mut String> {
        let Piece::Part(part) = &mut self.piece else { return None };
        match part {
            Cow::Borrowed(Part::Text { .. }) | Cow::Owned(Part::Text { .. }) => match part.to_mut() {
                Part::Text { text, .. } => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    /// Marks an instruction as one amid the user's words.
    pub(super) fn fold(&mut self) {
        if let Some(text) = self.text_mut() {
            *text = framing::instruction(text);
        }
    }

    pub(super) fn is_result(&self) -> bool {
        match &self.piece {
            Piece::Result { .. } => true,
            Piece::Part(part) => is_result(part),
            Piece::Call(_) => false,
        }
    }

    pub(super) fn is_thought(&self) -> bool {
        let Piece::Part(part) = &self.piece else { return false };
        matches!(part.as_ref(), Part::Reasoning { .. } | Part::RedactedReasoning { .. })
    }

    pub(super) fn bears_marks(&self) -> bool {
        let foreign =
            matches!(&self.piece, Piece::Part(part) if matches!(part.as_ref(), Part::Foreign { .. }));
        !self.is_thought() && !foreign
    }
}

/// What the wire takes of a part. None if it takes nothing, which is named unless nothing is lost.
pub(super) fn prepare<'a>(
    part: &'a Part,
    field: &dyn Fn() -> String,
    context: &mut Context<'_>,
) -> Option<Piece<'a>> {
    let as_it_is = Some(Piece::Part(Cow::Borrowed(part)));
    let loss = match part {
        // The vendor takes no empty text.
        Part::Text { text, .. } if text.trim().is_empty() => return None,
        Part::Text { citations, extra, .. } => {
            if !citations.iter().all(citation::is_replayable) {
                let why = "the vendor takes back its own web citations only";
                context.losses.push(Loss::dropped(format!("{}.citations", field()), why));
            }
            return Some(text(part, strangers(extra), field, context));
        }
        Part::Image { source, detail } => match image(source, detail.as_deref(), field, context) {
            None => return as_it_is,
            Some(loss) => loss,
        },
        Part::File { .. } => return file(part, field, context),
        Part::SearchResult { .. }
        | Part::RedactedReasoning { .. }
        | Part::Reasoning { signature: Some(_), .. }
        | Part::Foreign { dialect: Dialect::AnthropicMessages, .. } => return as_it_is,
        Part::Reasoning { .. } if context.compatible => return as_it_is,
        Part::Reasoning { .. } => {
            Loss::dropped(field(), "the vendor takes back signed reasoning only, and this has no signature")
        }
        Part::Refusal { text } => {
            context.losses.push(Loss::emulated(field(), "the refusal became text"));
            return Some(Piece::Part(Cow::Owned(Part::text(text.as_str()))))
                .filter(|_| !text.trim().is_empty());
        }
        Part::Json(json) => return Some(Piece::Part(Cow::Owned(Part::text(json.get())))),
        Part::ToolCall(call) => return Some(prepare_call(call, field, context)),
        Part::ToolResult(result) => return Some(prepare_result(result, field, context)),
        Part::Foreign { kind, .. } => Loss::foreign_part(field(), kind),
        Part::Audio { .. } | Part::AudioRef { .. } => Loss::refused(field(), "the vendor takes no sound"),
        Part::CacheMark(_) => return None,
    };
    context.losses.push(loss);
    None
}

/// What is lost with an image that is not sent.
fn image(
    source: &Media,
    detail: Option<&str>,
    field: &dyn Fn() -> String,
    context: &mut Context<'_>,
) -> Option<Loss> {
    if detail.is_some_and(|detail| detail != "auto") {
        let why = "the wire has no detail of an image";
        context.losses.push(Loss::dropped(format!("{}.detail", field()), why));
    }
    match source {
        Media::Url(_) => None,
        Media::Id(_) if context.own => None,
        Media::Id(_) => {
            Some(Loss::refused(field(), "the file is in another vendor's store: send its content"))
        }
        Media::Inline { media_type, .. } if image_type(media_type).is_some() => None,
        Media::Inline { .. } => {
            Some(Loss::refused(field(), "the vendor reads JPEG, PNG, GIF and WebP images only"))
        }
    }
}

fn text<'a>(
    part: &'a Part,
    extra: impl Iterator<Item = &'a String>,
    field: &dyn Fn() -> String,
    context: &mut Context<'_>,
) -> Piece<'a> {
    if context.own {
        return Piece::Part(Cow::Borrowed(part));
    }
    for name in extra.filter(|name| *name != CACHE_CONTROL) {
        let field = format!("{}.{name}", field());
        context.losses.push(Loss::dropped(field, "another wire's own field"));
    }
    let mut part = part.clone();
    if let Part::Text { extra, .. } = &mut part {
        extra.clear();
    }
    Piece::Part(Cow::Owned(part))
}

fn prepare_call<'a>(call: &'a ToolCall, field: &dyn Fn() -> String, context: &mut Context<'_>) -> Piece<'a> {
    match input(call) {
        Input::Object(_) => {}
        Input::Wrapped("input", _) => {
            context.losses.push(Loss::emulated(field(), "the free text of a call became the member `input`"));
        }
        Input::Wrapped(..) => {
            let why = "arguments that are no JSON object became the member `raw_arguments`";
            context.losses.push(Loss::emulated(field(), why));
        }
    }
    Piece::Call(call)
}

/// What a tool is given, as the object that the wire wants.
enum Input<'a> {
    Object(&'a RawValue),
    /// Text under a name. A model's malformed arguments are part of what happened: refusing them would end the
    /// conversation for good.
    Wrapped(&'static str, &'a str),
}

fn input(call: &ToolCall) -> Input<'_> {
    match &call.input {
        ToolInput::Text(text) => Input::Wrapped("input", text),
        ToolInput::Arguments(arguments) => {
            let written = if arguments.trim().is_empty() { "{}" } else { arguments };
            match serde_json::from_str::<&RawValue>(written) {
                Ok(raw) if raw.get().starts_with('{') => Input::Object(raw),
                _ => Input::Wrapped("raw_arguments", arguments),
            }
        }
    }
}

fn prepare_result<'a>(
    result: &'a ToolResult,
    field: &dyn Fn() -> String,
    context: &mut Context<'_>,
) -> Piece<'a> {
    let mut content: Vec<Block<'a>> = Vec::with_capacity(result.content.len());
    for (number, part) in result.content.iter().enumerate() {
        let field = || format!("{}.content[{number}]", field());
        if let Part::CacheMark(ttl) = part {
            if let Some(block) = content.last_mut() {
                block.cache = Some(*ttl);
            } else {
                let why = "nothing that could be cached stands before it";
                context.losses.push(Loss::dropped(field(), why));
            }
            continue;
        }
        let piece = prepare(part, &field, context);
        content.extend(piece.map(|piece| Block { piece, cache: None }));
    }
    Piece::Result { result, content }
}

fn file<'a>(part: &'a Part, field: &dyn Fn() -> String, context: &mut Context<'_>) -> Option<Piece<'a>> {
    let Part::File { source, filename, context: about, citations } = part else { return None };
    let as_it_is = Some(Piece::Part(Cow::Borrowed(part)));
    let loss = match source {
        FileSource::Url(_) | FileSource::Text(_) | FileSource::Parts(_) => return as_it_is,
        FileSource::Id(_) if context.own => return as_it_is,
        FileSource::Id(_) => {
            Loss::refused(field(), "the file is in another vendor's store: send its content")
        }
        FileSource::Inline { media_type, data } => {
            match kind_of_file(media_type.as_deref(), filename.as_deref(), data) {
                Some(Kind::Pdf) => return as_it_is,
                Some(Kind::Text(text)) => {
                    return Some(Piece::Part(Cow::Owned(Part::File {
                        source: FileSource::Text(text),
                        filename: filename.clone(),
                        context: about.clone(),
                        citations: *citations,
                    })));
                }
                None => Loss::refused(field(), "the vendor reads PDF and text documents only"),
            }
        }
    };
    context.losses.push(loss);
    None
}

enum Kind {
    Pdf,
    Text(String),
}

/// What sort of document it is: by its type, else by its first bytes, else by the end of its name.
fn kind_of_file(media_type: Option<&str>, filename: Option<&str>, data: &str) -> Option<Kind> {
    /// `%PDF` in base64.
    const PDF: &str = "JVBER";
    const TEXTS: [&str; 8] = ["txt", "md", "csv", "json", "xml", "html", "yaml", "log"];
    let end = filename.and_then(|name| name.rsplit_once('.')).map(|(_, end)| end.to_ascii_lowercase());
    let is_text = match media_type {
        Some("application/pdf") => return Some(Kind::Pdf),
        None | Some("application/octet-stream") if data.starts_with(PDF) => return Some(Kind::Pdf),
        None | Some("application/octet-stream") => end.is_some_and(|end| TEXTS.contains(&end.as_str())),
        Some(kind) => {
            kind.starts_with("text/") || ["json", "xml", "yaml"].iter().any(|word| kind.ends_with(word))
        }
    };
    let bytes = is_text.then(|| BASE64.decode(data).ok()).flatten()?;
    String::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty()).map(Kind::Text)
}

/// The media type of an image in the wire's words. None if the vendor does not read it.
fn image_type(media_type: &str) -> Option<&'static str> {
    match media_type.to_ascii_lowercase().as_str() {
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/png" => Some("image/png"),
        "image/gif" => Some("image/gif"),
        "image/webp" => Some("image/webp"),
        _ => None,
    }
}

/// Writes a member that is an array of blocks.
pub(super) fn write_blocks(object: &mut Object<'_>, name: &str, blocks: &[Block<'_>], ids: &Ids) {
    object.objects(name, blocks, |object, block| {
        match &block.piece {
            Piece::Part(part) => write_part(object, part),
            Piece::Call(call) => write_call(object, call, ids.of_call(&call.id)),
            Piece::Result { result, content } => {
                object.field("type", "tool_result");
                object.field("tool_use_id", ids.of_call(&result.call_id));
                match content.as_slice() {
                    [] => {}
                    [only] if only.plain_text().is_some() => object.opt("content", only.plain_text()),
                    content => write_blocks(object, "content", content, ids),
                }
                if result.is_error {
                    object.field("is_error", &true);
                }
            }
        }
        if let Some(ttl) = block.cache {
            cache_control(object, ttl);
        }
    });
}

/// Writes the members of a call. Shared with whole answers.
pub(crate) fn write_call(object: &mut Object<'_>, call: &ToolCall, id: &str) {
    object.field("type", "tool_use");
    object.field("id", id);
    object.field("name", &call.name);
    match input(call) {
        Input::Object(raw) => object.field("input", raw),
        Input::Wrapped(name, text) => object.object("input", |input| input.field(name, text)),
    }
}

/// Writes a mark.
pub(super) fn cache_control(object: &mut Object<'_>, ttl: CacheTtl) {
    object.object(CACHE_CONTROL, |mark| {
        mark.field("type", "ephemeral");
        match ttl {
            CacheTtl::FiveMinutes => {}
            CacheTtl::OneHour => mark.field("ttl", "1h"),
        }
    });
}

/// Writes the members of a part that is a block. Shared with whole answers.
pub(crate) fn write_part(object: &mut Object<'_>, part: &Part) {
    match part {
        Part::Text { text, citations, extra } => {
            object.field("type", "text");
            object.field("text", text);
            let cited =
                citations.iter().filter(|citation| citation::is_replayable(citation)).collect::<Vec<_>>();
            if !cited.is_empty() {
                object.objects("citations", cited, |object, citation| citation::encode(citation, object));
            }
            object.extra(extra);
        }
        Part::Image { source, .. } => {
            object.field("type", "image");
            object.object("source", |object| write_media(object, source));
        }
        Part::File { source, filename, context, citations } => {
            object.field("type", "document");
            object.object("source", |object| write_source(object, source));
            object.opt("title", filename.as_ref());
            object.opt("context", context.as_ref());
            write_cited(object, *citations);
        }
        Part::SearchResult { source, title, content, citations } => {
            object.field("type", "search_result");
            object.field("source", source);
            object.field("title", title);
            write_inner(object, "content", content);
            write_cited(object, *citations);
        }
        Part::Reasoning { text, signature } => {
            object.field("type", "thinking");
            object.field("thinking", text);
            object.field("signature", signature.as_deref().unwrap_or_default());
        }
        Part::RedactedReasoning { data } => {
            object.field("type", "redacted_thinking");
            object.field("data", data);
        }
        Part::Foreign { block, .. } => object.members(block),
        // What `prepare` turns into something else, or has other writers for.
        Part::Refusal { text } => {
            object.field("type", "text");
            object.field("text", text);
        }
        Part::Json(json) => {
            object.field("type", "text");
            object.field("text", json.get());
        }
        Part::ToolCall(call) => write_call(object, call, &call.id),
        Part::Audio { .. } | Part::AudioRef { .. } | Part::ToolResult(_) | Part::CacheMark(_) => {}
    }
}

fn write_cited(object: &mut Object<'_>, citations: bool) {
    if citations {
        object.object("citations", |cited| cited.field("enabled", &true));
    }
}

fn write_media(object: &mut Object<'_>, source: &Media) {
    match source {
        Media::Url(url) => {
            object.field("type", "url");
            object.field("url", url);
        }
        Media::Inline { media_type, data } => {
            object.field("type", "base64");
            object.field("media_type", image_type(media_type).unwrap_or(media_type));
            object.field("data", data);
        }
        Media::Id(id) => {
            object.field("type", "file");
            object.field("file_id", id);
        }
    }
}

fn write_source(object: &mut Object<'_>, source: &FileSource) {
    match source {
        FileSource::Id(id) => {
            object.field("type", "file");
            object.field("file_id", id);
        }
        FileSource::Url(url) => {
            object.field("type", "url");
            object.field("url", url);
        }
        FileSource::Inline { media_type, data } => {
            object.field("type", "base64");
            let usual = "application/pdf";
            let media_type = media_type.as_deref().filter(|kind| *kind != "application/octet-stream");
            object.field("media_type", media_type.unwrap_or(usual));
            object.field("data", data);
        }
        FileSource::Text(text) => {
            object.field("type", "text");
            object.field("media_type", "text/plain");
            object.field("data", text);
        }
        FileSource::Parts(parts) => {
            object.field("type", "content");
            write_inner(object, "content", parts);
        }
    }
}

/// Writes parts inside of a block, each with the mark that follows it.
fn write_inner(object: &mut Object<'_>, name: &str, parts: &[Part]) {
    let numbered = parts.iter().enumerate().filter(|(_, part)| !matches!(part, Part::CacheMark(_)));
    object.objects(name, numbered, |object, (number, part)| {
        write_part(object, part);
        if let Some(Part::CacheMark(ttl)) = parts.get(number + 1) {
            cache_control(object, *ttl);
        }
    });
}
