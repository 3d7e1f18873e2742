//! Parts into blocks: what a part becomes is decided first, with what is lost, and written afterwards.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::bedrock::content::arguments;
use crate::chat::{Extra, FileSource, Json, Media, Part, ToolCall, ToolResult};
use crate::dialect::Dialect;
use crate::gemini::content::{BESIDE, NO_SIGNATURE, SIGNATURE};
use crate::gemini::quirks::Quirks;
use crate::json::{At, Fields, Object};
use crate::loss::{Loss, strangers};
use crate::openai_chat::request::encode::as_text;

/// One part, ready to be written.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    piece: Piece<'a>,
    /// What stands beside it, its own further members among it under its name.
    beside: Extra,
}

#[derive(Debug)]
enum Piece<'a> {
    Text(Cow<'a, str>),
    Thought(&'a str),
    Inline(Inline<'a>),
    Call { id: &'a str, name: &'a str, args: Json },
    Result { id: &'a str, name: &'a str, response: Response, media: Vec<Inline<'a>>, foreign: Vec<&'a Json> },
    Foreign(&'a Json),
}

#[derive(Debug)]
struct Inline<'a> {
    media_type: Cow<'a, str>,
    data: &'a str,
    name: Option<&'a str>,
}

/// What a tool brought.
#[derive(Debug)]
enum Response {
    Whole(Json),
    Sole(&'static str, Json),
}

impl<'a> Block<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { piece: Piece::Text(text.into()), beside: Extra::new() }
    }

    pub(crate) fn is_result(&self) -> bool {
        matches!(self.piece, Piece::Result { .. })
    }

    fn is_call(&self) -> bool {
        matches!(self.piece, Piece::Call { .. })
    }

    pub(crate) fn write(&self, object: &mut Object<'_>) {
        let nested = |object: &mut Object<'_>, kind: &str| {
            if let Some(inner) = self.beside.get(kind) {
                object.members(inner);
            }
        };
        let mut kind = "";
        match &self.piece {
            Piece::Text(text) => object.field("text", text),
            Piece::Thought(text) => {
                object.field("text", text);
                object.field("thought", &true);
            }
            Piece::Inline(inline) => object.object("inlineData", |data| inline.write(data)),
            Piece::Call { id, name, args } => {
                kind = "functionCall";
                object.object(kind, |call| {
                    if !id.is_empty() {
                        call.field("id", id);
                    }
                    call.field("name", name);
                    call.field("args", args);
                    nested(call, "functionCall");
                });
            }
            Piece::Result { id, name, response, media, foreign } => {
                kind = "functionResponse";
                object.object(kind, |result| {
                    if !id.is_empty() {
                        result.field("id", id);
                    }
                    result.field("name", name);
                    match response {
                        Response::Whole(json) => result.field("response", json),
                        Response::Sole(name, json) => {
                            result.object("response", |object| object.field(name, json));
                        }
                    }
                    if !(media.is_empty() && foreign.is_empty()) {
                        let parts = media.iter().map(Ok).chain(foreign.iter().map(Err));
                        result.objects("parts", parts, |object, part| match part {
                            Ok(inline) => object.object("inlineData", |data| inline.write(data)),
                            Err(json) => object.members(json),
                        });
                    }
                    nested(result, "functionResponse");
                });
            }
            Piece::Foreign(json) => object.members(json),
        }
        for (name, value) in self.beside.iter().filter(|(name, _)| *name != kind) {
            object.field(name, value);
        }
    }
}

impl Inline<'_> {
    fn write(&self, object: &mut Object<'_>) {
        object.field("mimeType", &self.media_type);
        object.text("data", &[self.data]);
        object.opt("displayName", self.name);
    }
}

/// What blocks are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client's answer, in which everything is shown that has a word here.
    Answer,
    /// A request. `own`: it came in this dialect.
    Request { own: bool, quirks: Quirks },
}

/// Makes blocks of parts, and remembers what is lost, and what was called under which id.
#[derive(Debug)]
pub(crate) struct Blocks<'a> {
    purpose: Purpose,
    called: BTreeMap<&'a str, &'a str>,
    pub(crate) losses: Vec<Loss>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, called: BTreeMap::new(), losses: Vec::new() }
    }

    fn own(&self) -> bool {
        matches!(self.purpose, Purpose::Answer | Purpose::Request { own: true, .. })
    }

    fn lose(&mut self, loss: Loss) -> Option<Block<'a>> {
        self.losses.push(loss);
        None
    }

    /// Adds what becomes of a part. `field` names the part's place in a loss.
    pub(crate) fn add(&mut self, part: &'a Part, field: &dyn Fn() -> String, out: &mut Vec<Block<'a>>) {
        if let Part::Foreign { dialect: Dialect::GeminiGenerate, kind, block } = part
            && matches!(kind.as_str(), SIGNATURE | BESIDE)
        {
            return attach(block, out);
        }
        if let Part::ToolResult(result) = part {
            return self.result(result, field, out);
        }
        out.extend(self.block(part, field));
    }

    fn block(&mut self, part: &'a Part, field: &dyn Fn() -> String) -> Option<Block<'a>> {
        if let Some(text) = self.told(part, field) {
            return Some(Block::text(text));
        }
        let piece = match part {
            Part::Text { text, citations, extra } => {
                if !citations.is_empty() && self.purpose != Purpose::Answer {
                    let why = "the wire cites no sources in a request";
                    self.losses.push(Loss::dropped(format!("{}.citations", field()), why));
                }
                let beside = self.extra(extra, field);
                if text.is_empty() && beside.is_empty() && !self.own() {
                    return None;
                }
                return Some(Block { piece: Piece::Text(text.into()), beside });
            }
            Part::Refusal { text } => {
                if self.purpose != Purpose::Answer && !text.is_empty() {
                    self.losses.push(Loss::emulated(field(), "the refusal became text"));
                }
                Piece::Text(text.into())
            }
            Part::Image { .. } | Part::Audio { .. } | Part::AudioRef { .. } | Part::File { .. } => {
                Piece::Inline(self.inline(part, field)?)
            }
            Part::Reasoning { text, signature } => return self.reasoning(text, signature.is_some(), field),
            Part::RedactedReasoning { .. } => match self.purpose {
                Purpose::Answer => return None,
                Purpose::Request { .. } => {
                    return self.lose(Loss::dropped(field(), "hidden reasoning of another vendor"));
                }
            },
            Part::ToolCall(call) => self.call(call, field),
            // Structure is for results alone.
            Part::Json(json) => Piece::Text(json.get().into()),
            Part::CacheMark(_) => {
                return self.lose(Loss::dropped(field(), "the vendor caches by itself"));
            }
            Part::Foreign { dialect: Dialect::GeminiGenerate, block, .. } => Piece::Foreign(block),
            Part::Foreign { kind, .. } => return self.lose(Loss::foreign_part(field(), kind)),
            // Told as text, or with results of their own.
            Part::SearchResult { .. } | Part::ToolResult(_) => return None,
        };
        Some(Block { piece, beside: Extra::new() })
    }

    /// What the wire has no part for, as the text that says the same.
    fn told(&mut self, part: &Part, field: &dyn Fn() -> String) -> Option<String> {
        let why = match part {
            Part::File { source: FileSource::Text(_) | FileSource::Parts(_), .. } => {
                "the document became text"
            }
            Part::SearchResult { .. } => "the search result became text",
            _ => return None,
        };
        self.losses.extend(Loss::pieces(&field(), part));
        self.losses.push(Loss::emulated(field(), why));
        Some(as_text(part))
    }

    /// Members beside a text: this wire's go back, and others' are lost.
    fn extra(&mut self, extra: &Extra, field: &dyn Fn() -> String) -> Extra {
        match self.purpose {
            Purpose::Request { own: true, .. } => extra.clone(),
            Purpose::Request { own: false, .. } => {
                let names = strangers(extra).map(|name| format!("{}.{name}", field()));
                self.losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
                Extra::new()
            }
            Purpose::Answer => Extra::new(),
        }
    }

    fn inline(&mut self, part: &'a Part, field: &dyn Fn() -> String) -> Option<Inline<'a>> {
        let inline = |media_type, data, name| Some(Inline { media_type, data, name });
        let why = match part {
            Part::Image { source: Media::Inline { media_type, data }, detail } => {
                if detail.as_ref().is_some_and(|detail| detail != "auto") {
                    let why = "the wire has one resolution for all";
                    self.losses.push(Loss::dropped(format!("{}.detail", field()), why));
                }
                if !self.own() && !PICTURES.contains(&media_type.to_ascii_lowercase().as_str()) {
                    let why = "Gemini takes pictures as png, jpeg, webp, heic or heif";
                    return self.refuse(field, why);
                }
                return inline(media_type.into(), data, None);
            }
            Part::Image { source: Media::Url(_), .. } => {
                "Gemini fetches no pictures from the network: send a data URL"
            }
            Part::Audio { format, .. } if !self.own() && !SOUNDS.contains(&format.as_str()) => {
                "Gemini takes sound as wav, mp3, aiff, aac, ogg or flac"
            }
            Part::Audio { format, data } => {
                let media_type =
                    if format == "mp3" { "audio/mpeg".into() } else { format!("audio/{format}") };
                return inline(media_type.into(), data, None);
            }
            Part::File { source, filename, context, citations } => {
                for (asked, name, why) in [
                    (context.is_some(), "context", "the wire has no context of a document"),
                    (*citations, "citations", "the wire cites no documents"),
                ] {
                    if asked {
                        self.losses.push(Loss::dropped(format!("{}.{name}", field()), why));
                    }
                }
                let name = filename.as_deref().filter(|name| !name.is_empty());
                match source {
                    FileSource::Inline { media_type: Some(media_type), data } => {
                        return inline(media_type.into(), data, name);
                    }
                    FileSource::Inline { media_type: None, data } => {
                        let Some(media_type) = media_type_of(name) else {
                            return self.refuse(field, "the wire wants to know its media type");
                        };
                        return inline(media_type.into(), data, name);
                    }
                    // Told as text.
                    FileSource::Text(_) | FileSource::Parts(_) => return None,
                    FileSource::Url(_) => "Gemini fetches no documents from the network: send its content",
                    FileSource::Id(_) => "the document is in another vendor's store: send its content",
                }
            }
            _ => "what it names is in another vendor's store: send its bytes",
        };
        self.refuse(field, why)
    }

    fn refuse<T>(&mut self, field: &dyn Fn() -> String, why: &'static str) -> Option<T> {
        self.losses.push(Loss::refused(field(), why));
        None
    }

    /// Gemini takes back its own thoughts, for what they are worth to it: what counts is the proof beside them.
    fn reasoning(&mut self, text: &'a str, signed: bool, field: &dyn Fn() -> String) -> Option<Block<'a>> {
        if !self.own() {
            return self.lose(Loss::dropped(field(), "the model takes no other's reasoning back"));
        }
        (!(text.is_empty() && signed)).then(|| Block { piece: Piece::Thought(text), beside: Extra::new() })
    }

    fn call(&mut self, call: &'a ToolCall, field: &dyn Fn() -> String) -> Piece<'a> {
        let (args, changed) = arguments(&call.input, false);
        if changed && self.purpose != Purpose::Answer {
            self.losses.push(Loss::emulated(field(), "arguments that are no object went into one"));
        }
        self.called.insert(&call.id, &call.name);
        Piece::Call { id: &call.id, name: &call.name, args }
    }

    fn result(&mut self, result: &'a ToolResult, field: &dyn Fn() -> String, out: &mut Vec<Block<'a>>) {
        let quirks = match self.purpose {
            Purpose::Request { quirks, .. } => quirks,
            Purpose::Answer => return,
        };
        let mut texts: Vec<Cow<'a, str>> = Vec::new();
        let (mut json, mut media, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        for (number, part) in result.content.iter().enumerate() {
            let field = || format!("{}.content[{number}]", field());
            match part {
                Part::Text { text, .. } => texts.push(text.into()),
                Part::Json(value) => json.push(value),
                Part::Foreign { dialect: Dialect::GeminiGenerate, block, .. } => foreign.push(block),
                part => match self.block(part, &field).map(|block| block.piece) {
                    Some(Piece::Inline(inline)) => media.push(inline),
                    Some(Piece::Text(text)) => texts.push(text),
                    _ => {}
                },
            }
        }
        let response = match (texts.as_slice(), json.as_slice()) {
            ([], []) if !result.is_error => Response::Whole(empty()),
            ([], [value]) => whole(value, result.is_error),
            ([text], []) => Response::Sole(word(result.is_error), quoted(text)),
            (texts, json) => {
                let structures = json.iter().map(|json: &&Json| json.get());
                let said: Vec<&str> = texts.iter().map(Cow::as_ref).chain(structures).collect();
                if said.len() > 1 {
                    self.losses.push(Loss::emulated(field(), "the pieces of the result became one text"));
                }
                Response::Sole(word(result.is_error), quoted(&said.join("\n")))
            }
        };
        let id = result.call_id.as_str();
        let name = self.called.get(id).copied().unwrap_or(id);
        let beside_it = if quirks.media_in_results { Vec::new() } else { std::mem::take(&mut media) };
        let piece = Piece::Result { id, name, response, media, foreign };
        out.push(Block { piece, beside: Extra::new() });
        if !beside_it.is_empty() {
            self.losses.push(Loss::emulated(field(), "the media of the result stand beside it"));
        }
        out.extend(
            beside_it.into_iter().map(|inline| Block { piece: Piece::Inline(inline), beside: Extra::new() }),
        );
    }

    /// The first call of a turn, where the model wants a proof and there is none, gets the word that stands for it.
    pub(crate) fn excuse(&self, turn: &mut [Block<'a>]) {
        let Purpose::Request { quirks: Quirks { signatures: true, .. }, .. } = self.purpose else { return };
        if let Some(call) = turn.iter_mut().find(|block| block.is_call()) {
            call.beside.entry(SIGNATURE.to_owned()).or_insert_with(|| quoted(NO_SIGNATURE[0]));
        }
    }
}

/// Puts what stood beside a part back onto it; what has nothing to stand beside gets an empty text.
fn attach(block: &Json, out: &mut Vec<Block<'_>>) {
    let Ok(fields) = Fields::of(block.raw(), &At::Root) else { return };
    let rest = fields.rest();
    match out.last_mut().filter(|last| last.beside.is_empty() && !matches!(last.piece, Piece::Foreign(_))) {
        Some(last) => last.beside = rest,
        None => out.push(Block { piece: Piece::Text("".into()), beside: rest }),
    }
}

fn word(is_error: bool) -> &'static str {
    if is_error { "error" } else { "output" }
}

/// Structure as the response. One that would be read as something else goes into one that would not.
fn whole(value: &Json, is_error: bool) -> Response {
    let sole = |value: &Json| {
        let fields = Fields::of(value.raw(), &At::Root).map(Fields::rest);
        fields
            .is_ok_and(|rest| rest.len() == 1 && rest.keys().all(|name| name == "output" || name == "error"))
    };
    if is_error || !value.get().starts_with('{') || value.get() == "{}" || sole(value) {
        return Response::Sole(word(is_error), value.clone());
    }
    Response::Whole(value.clone())
}

fn empty() -> Json {
    Json::parse("{}").expect("an object without members is JSON")
}

fn quoted(text: &str) -> Json {
    Json::parse(serde_json::Value::from(text).to_string()).expect("a string is JSON")
}

/// What Gemini takes ("Image understanding", "Audio understanding").
const PICTURES: [&str; 6] =
    ["image/png", "image/jpeg", "image/jpg", "image/webp", "image/heic", "image/heif"];
const SOUNDS: [&str; 6] = ["wav", "mp3", "aiff", "aac", "ogg", "flac"];

/// The media type of a document by its name.
fn media_type_of(name: Option<&str>) -> Option<&'static str> {
    let (_, ending) = name?.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "json" => "application/json",
        _ => return None,
    })
}
