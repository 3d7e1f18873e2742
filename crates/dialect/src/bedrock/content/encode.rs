//! Parts into blocks: what a part becomes is decided first, with what is lost, and written afterwards.
//!
//! Arguments of a tool call are an object on this wire. What a model wrote that is none goes back to it as
//! `{"arguments": "…"}`, with its text, so that it sees what it did; nothing is left out and nothing fails.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::bedrock::content::citations;
use crate::bedrock::content::decode::SOUNDS;
use crate::bedrock::content::documents::{Names, format, picture_format};
use crate::chat::{
    CacheTtl, Citation, CitationPlace, Extra, FileSource, Json, Media, Part, ToolCall, ToolInput, ToolResult,
};
use crate::dialect::Dialect;
use crate::framing;
use crate::json::Object;
use crate::loss::{Loss, Losses, strangers};

/// One block, ready to be written.
#[derive(Debug)]
pub(crate) enum Block<'a> {
    Text { text: Cow<'a, str>, extra: Option<&'a Extra> },
    Cited { text: &'a str, citations: &'a [Citation] },
    Json(&'a Json),
    Image { format: &'a str, data: &'a str },
    Audio { format: &'a str, data: &'a str },
    Document(Document<'a>),
    SearchResult { source: &'a str, title: &'a str, texts: Vec<&'a str>, citations: bool },
    ToolUse { id: String, name: &'a str, input: Json },
    ToolResult { id: String, content: Vec<Block<'a>>, is_error: bool },
    Reasoning { text: &'a str, signature: Option<&'a str> },
    Redacted(&'a str),
    CachePoint(CacheTtl),
    Foreign(&'a Json),
}

#[derive(Debug)]
pub(crate) struct Document<'a> {
    format: Option<&'static str>,
    name: String,
    source: Source<'a>,
    context: Option<&'a str>,
    citations: bool,
}

#[derive(Debug)]
enum Source<'a> {
    Bytes(&'a str),
    Text(&'a str),
    Texts(Vec<&'a str>),
}

impl Block<'_> {
    /// Marks an instruction as one amid the user's words.
    pub(crate) fn fold(&mut self) {
        if let Self::Text { text, .. } = self {
            *text = framing::instruction(text).into();
        }
    }

    pub(crate) fn write(&self, object: &mut Object<'_>) {
        match self {
            Self::Text { text, extra } => {
                object.field("text", text);
                if let Some(extra) = extra {
                    object.extra(extra);
                }
            }
            Self::Cited { text, citations } => object.object("citationsContent", |cited| {
                cited.objects("content", [text], |object, text| object.field("text", text));
                cited.objects("citations", *citations, citations::encode);
            }),
            Self::Json(json) => object.field("json", json),
            Self::Image { format, data } => media(object, "image", format, data),
            Self::Audio { format, data } => media(object, "audio", format, data),
            Self::Document(document) => object.object("document", |object| document.write(object)),
            Self::SearchResult { source, title, texts, citations } => {
                object.object("searchResult", |result| {
                    result.field("source", source);
                    result.field("title", title);
                    result.objects("content", texts, |object, text| object.field("text", text));
                    enabled(result, *citations);
                });
            }
            Self::ToolUse { id, name, input } => object.object("toolUse", |call| {
                call.field("toolUseId", id);
                call.field("name", name);
                call.field("input", input);
            }),
            Self::ToolResult { id, content, is_error } => object.object("toolResult", |result| {
                result.field("toolUseId", id);
                result.objects("content", content, |object, block| block.write(object));
                if *is_error {
                    result.field("status", "error");
                }
            }),
            Self::Reasoning { text, signature } => object.object("reasoningContent", |reasoning| {
                reasoning.object("reasoningText", |object| {
                    object.field("text", text);
                    object.opt("signature", *signature);
                });
            }),
            Self::Redacted(data) => {
                object.object("reasoningContent", |reasoning| reasoning.field("redactedContent", data));
            }
            Self::CachePoint(ttl) => cache_point(object, *ttl),
            Self::Foreign(block) => object.members(block),
        }
    }
}

/// Writes a `cachePoint`. The usual lifetime is not named: not every model that caches knows the member.
pub(crate) fn cache_point(object: &mut Object<'_>, ttl: CacheTtl) {
    object.object("cachePoint", |point| {
        point.field("type", "default");
        if ttl == CacheTtl::OneHour {
            point.field("ttl", "1h");
        }
    });
}

fn media(object: &mut Object<'_>, kind: &str, format: &str, data: &str) {
    object.object(kind, |media| {
        media.field("format", format);
        media.object("source", |source| source.field("bytes", data));
    });
}

fn enabled(object: &mut Object<'_>, citations: bool) {
    if citations {
        object.object("citations", |citations| citations.field("enabled", &true));
    }
}

impl Document<'_> {
    fn write(&self, object: &mut Object<'_>) {
        object.opt("format", self.format);
        object.field("name", &self.name);
        object.object("source", |source| match &self.source {
            Source::Bytes(data) => source.field("bytes", data),
            Source::Text(text) => source.field("text", text),
            Source::Texts(texts) => {
                source.objects("content", texts, |object, text| object.field("text", text));
            }
        });
        object.opt("context", self.context);
        enabled(object, self.citations);
    }
}

/// What blocks are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A client's answer, in which everything is shown that has a word here.
    Answer,
    /// A request. `own`: it came in this dialect; `claude`: it goes to one of Anthropic's models.
    Request { own: bool, claude: bool },
}

/// Makes blocks of parts, and remembers what is lost, and the ids and names that were given.
#[derive(Debug)]
pub(crate) struct Blocks {
    purpose: Purpose,
    names: Names,
    ids: Ids,
    pub(crate) losses: Losses,
}

impl Blocks {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, names: Names::default(), ids: Ids::default(), losses: Losses::default() }
    }

    fn own(&self) -> bool {
        matches!(self.purpose, Purpose::Answer | Purpose::Request { own: true, .. })
    }

    fn lose(&mut self, loss: Loss) -> Option<Block<'static>> {
        self.losses.push(loss);
        None
    }

    /// The block of a part; none if there is none for it. `field` names the part's place in a loss.
    pub(crate) fn block<'a>(&mut self, part: &'a Part, field: &dyn Fn() -> String) -> Option<Block<'a>> {
        match part {
            Part::Text { text, citations, extra } => self.text(text, citations, extra, field),
            Part::Refusal { text } => {
                if matches!(self.purpose, Purpose::Request { .. }) && !text.trim().is_empty() {
                    self.lose(Loss::emulated(field(), "the refusal became text"));
                }
                self.text(text, &[], &Extra::new(), field).map(|_| plain(text))
            }
            Part::Image { source, detail } => {
                if detail.as_ref().is_some_and(|detail| detail != "auto") {
                    self.lose(Loss::dropped(format!("{}.detail", field()), "the wire has one resolution"));
                }
                self.image(source, field)
            }
            Part::Audio { format, data } if SOUNDS.contains(&format.as_str()) => {
                Some(Block::Audio { format, data })
            }
            Part::Audio { .. } => self.lose(Loss::refused(field(), "Bedrock takes no sound of this format")),
            Part::AudioRef { .. } => {
                self.lose(Loss::refused(field(), "the sound is in another vendor's store: send its bytes"))
            }
            Part::File { source, filename, context, citations } => {
                let (format, source) = self.file(source, filename.as_deref(), field)?;
                let name = self.names.give(filename.as_deref());
                let context = context.as_deref();
                Some(Block::Document(Document { format, name, source, context, citations: *citations }))
            }
            Part::SearchResult { source, title, content, citations } => {
                let texts = content.iter().filter_map(text_of).collect();
                Some(Block::SearchResult { source, title, texts, citations: *citations })
            }
            Part::Reasoning { text, signature } => self.reasoning(text, signature.as_deref(), field),
            Part::RedactedReasoning { data } => match self.purpose {
                Purpose::Request { claude: false, .. } => {
                    self.lose(Loss::dropped(field(), "hidden reasoning of another vendor"))
                }
                Purpose::Answer | Purpose::Request { claude: true, .. } => Some(Block::Redacted(data)),
            },
            Part::ToolCall(call) => Some(self.call(call, field)),
            Part::ToolResult(result) => Some(self.result(result, field)),
            Part::Json(json) => Some(Block::Json(json)),
            Part::CacheMark(ttl) => Some(Block::CachePoint(*ttl)),
            Part::Foreign { dialect: Dialect::BedrockConverse, block, .. } => Some(Block::Foreign(block)),
            Part::Foreign { kind, .. } => self.lose(Loss::foreign_part(field(), kind)),
        }
    }

    /// Blank texts are refused by AWS. They say nothing, so they are left out.
    fn text<'a>(
        &mut self,
        text: &'a str,
        citations: &'a [Citation],
        extra: &'a Extra,
        field: &dyn Fn() -> String,
    ) -> Option<Block<'a>> {
        if text.trim().is_empty() {
            let request = matches!(self.purpose, Purpose::Request { .. });
            if text.is_empty() && citations.is_empty() {
                return None;
            }
            if request {
                return self.lose(Loss::dropped(field(), "AWS refuses a blank text"));
            }
        }
        let extra = match self.purpose {
            Purpose::Request { own: true, .. } => Some(extra).filter(|extra| !extra.is_empty()),
            Purpose::Request { own: false, .. } => {
                let names = strangers(extra).map(|name| format!("{}.{name}", field()));
                self.losses.extend(names.map(|name| Loss::dropped(name, "another wire's own field")));
                None
            }
            Purpose::Answer => None,
        };
        if citations.is_empty() {
            return Some(Block::Text { text: Cow::Borrowed(text), extra });
        }
        let reference = |citation: &Citation| {
            matches!(citation.place, CitationPlace::Web { encrypted_index: Some(_), .. })
        };
        if citations.iter().any(reference) {
            self.lose(Loss::dropped(
                format!("{}.citations", field()),
                "the wire has no reference to a web page",
            ));
        }
        Some(Block::Cited { text, citations })
    }

    fn image<'a>(&mut self, source: &'a Media, field: &dyn Fn() -> String) -> Option<Block<'a>> {
        match source {
            Media::Inline { media_type, data } => {
                let Some(format) = picture_format(media_type) else {
                    let why = "Bedrock takes pictures as png, jpeg, gif or webp";
                    return self.lose(Loss::refused(field(), why));
                };
                Some(Block::Image { format, data })
            }
            Media::Url(_) => self.lose(Loss::refused(
                field(),
                "Bedrock takes a picture's bytes only, no URL: send a data URL",
            )),
            Media::Id(_) => {
                self.lose(Loss::refused(field(), "the picture is in another vendor's store: send its bytes"))
            }
        }
    }

    fn file<'a>(
        &mut self,
        source: &'a FileSource,
        filename: Option<&str>,
        field: &dyn Fn() -> String,
    ) -> Option<(Option<&'static str>, Source<'a>)> {
        let why = match source {
            FileSource::Inline { media_type, data } => {
                let known = format(media_type.as_deref(), filename);
                if known.is_some() || (media_type.is_none() && self.own()) {
                    return Some((known, Source::Bytes(data)));
                }
                "Bedrock takes documents as pdf, csv, doc, docx, xls, xlsx, html, txt or md: name the type"
            }
            FileSource::Text(text) => return Some((Some("txt"), Source::Text(text))),
            FileSource::Parts(parts) => {
                if parts.iter().all(|part| text_of(part).is_some()) {
                    return Some((Some("txt"), Source::Texts(parts.iter().filter_map(text_of).collect())));
                }
                "Bedrock takes a document in pieces as texts only"
            }
            FileSource::Url(_) => "Bedrock takes a document's bytes only, no URL: send its content",
            FileSource::Id(_) => "the document is in another vendor's store: send its content",
        };
        self.losses.push(Loss::refused(field(), why));
        None
    }

    /// Claude takes back what it signed, word for word, and nothing else. Of other models' reasoning only the client of
    /// this very wire knows whether its model wants it.
    fn reasoning<'a>(
        &mut self,
        text: &'a str,
        signature: Option<&'a str>,
        field: &dyn Fn() -> String,
    ) -> Option<Block<'a>> {
        let why = match (self.purpose, signature) {
            (Purpose::Answer, _)
            | (Purpose::Request { claude: true, .. }, Some(_))
            | (Purpose::Request { claude: false, own: true }, None) => {
                return Some(Block::Reasoning { text, signature });
            }
            (Purpose::Request { claude: true, .. }, None) => {
                "Claude takes back no reasoning that it has not signed"
            }
            (Purpose::Request { claude: false, .. }, Some(_)) => "another vendor's proof of its reasoning",
            (Purpose::Request { claude: false, own: false }, None) => "the model takes no reasoning back",
        };
        self.lose(Loss::dropped(field(), why))
    }

    fn call<'a>(&mut self, call: &'a ToolCall, field: &dyn Fn() -> String) -> Block<'a> {
        let (input, changed) = arguments(&call.input, self.own());
        let id = match self.purpose {
            Purpose::Answer => call.id.clone(),
            Purpose::Request { own, .. } => {
                if changed {
                    self.losses.push(Loss::emulated(field(), "arguments that are no object went into one"));
                }
                self.ids.call(&call.id, own)
            }
        };
        Block::ToolUse { id, name: &call.name, input }
    }

    fn result<'a>(&mut self, result: &'a ToolResult, field: &dyn Fn() -> String) -> Block<'a> {
        let mut content = Vec::with_capacity(result.content.len());
        for (number, part) in result.content.iter().enumerate() {
            let field = || format!("{}.content[{number}]", field());
            let block = match part {
                Part::CacheMark(_) => {
                    self.lose(Loss::dropped(field(), "no cache mark stands inside a tool result"))
                }
                Part::Audio { .. } => self.lose(Loss::refused(field(), "a tool result holds no sound")),
                part => self.block(part, &field),
            };
            content.extend(block);
        }
        let id = match self.purpose {
            Purpose::Answer => result.call_id.clone(),
            Purpose::Request { own, .. } => self.ids.result(&result.call_id, own),
        };
        Block::ToolResult { id, content, is_error: result.is_error }
    }
}

fn plain(text: &str) -> Block<'_> {
    Block::Text { text: Cow::Borrowed(text), extra: None }
}

fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text { text, .. } => Some(text),
        _ => None,
    }
}

/// The input of a tool call as an object, and whether it had to be made one. `any`: any JSON will do.
pub(crate) fn arguments(input: &ToolInput, any: bool) -> (Json, bool) {
    let (name, text) = match input {
        ToolInput::Arguments(text) if text.trim().is_empty() => ("", "{}"),
        ToolInput::Arguments(text) => ("arguments", text.as_str()),
        ToolInput::Text(text) => ("input", text.as_str()),
    };
    let json = Json::parse(text).ok().filter(|json| json.get().starts_with('{') || any);
    if let Some(json) = json.filter(|_| name != "input") {
        return (json, false);
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    Object::write(&mut out, |object| object.field(name, text));
    let json = String::from_utf8(out).ok().and_then(|text| Json::parse(text).ok());
    (json.expect("what is written here is JSON"), true)
}

/// Ids of tool calls. Those of other vendors may be longer than Bedrock takes, of other characters, or the same in each
/// turn. Each call gets an id of its own, always the same for the same conversation, and its results get it too.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// The last id that was given for each.
    given: BTreeMap<String, String>,
    used: BTreeSet<String>,
}

/// The longest id.
const MAX_ID: usize = 64;

impl Ids {
    pub(crate) fn call(&mut self, id: &str, own: bool) -> String {
        let base = fitting(id, own);
        let mut given = base.clone();
        let mut number = 2;
        while !self.used.insert(given.clone()) {
            given = format!("{}-{number}", &base[..base.len().min(MAX_ID - 8)]);
            number += 1;
        }
        self.given.insert(id.to_owned(), given.clone());
        given
    }

    /// The id of the last call of that id.
    pub(crate) fn result(&self, id: &str, own: bool) -> String {
        self.given.get(id).cloned().unwrap_or_else(|| fitting(id, own))
    }
}

/// An id that Bedrock takes. One that had to be changed ends with a checksum of what it was.
fn fitting(id: &str, own: bool) -> String {
    // Claude, behind Bedrock, takes fewer characters than Bedrock.
    let good = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-') || (own && matches!(letter, '.' | ':'))
    };
    if !id.is_empty() && id.len() <= MAX_ID && id.chars().all(good) {
        return id.to_owned();
    }
    let kept: String = id.chars().take(48).map(|letter| if good(letter) { letter } else { '_' }).collect();
    format!("{kept}-{:08x}", crc32fast::hash(id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fit_differ_and_find_their_results() {
        let mut ids = Ids::default();
        assert_eq!(ids.call("toolu_1", false), "toolu_1");
        let long = "x".repeat(80);
        let [first, second] = [ids.call(&long, false), ids.call(&format!("{long}y"), false)];
        assert!(first.len() <= MAX_ID && first != second, "{first} {second}");
        assert_eq!(ids.result(&long, false), first);
        let odd = ids.call("a.b:c/ü", false);
        assert!(odd.starts_with("a_b_c__-"), "{odd}");
        assert_eq!(ids.call("a.b:c", true), "a.b:c");
        // The same id in a later turn.
        assert_eq!(ids.call("toolu_1", false), "toolu_1-2");
        assert_eq!(ids.result("toolu_1", false), "toolu_1-2");
        assert_eq!(ids.result("unknown", false), "unknown");
        assert_eq!(ids.call("", false), "-00000000");
    }

    #[test]
    fn arguments_become_an_object_without_losing_a_word() {
        let check = |text: &str, any, json: &str, changed| {
            let (found, was) = arguments(&ToolInput::Arguments(text.into()), any);
            assert_eq!((found.get(), was), (json, changed), "{text}");
        };
        check("", false, "{}", false);
        check(" \n", false, "{}", false);
        check(r#"{ "a" : 1 }"#, false, r#"{"a":1}"#, false);
        check("[1]", false, r#"{"arguments":"[1]"}"#, true);
        check("[1]", true, "[1]", false);
        check(r#"{"a":"#, true, r#"{"arguments":"{\"a\":"}"#, true);
        let (json, changed) = arguments(&ToolInput::Text("*** patch".into()), false);
        assert_eq!((json.get(), changed), (r#"{"input":"*** patch"}"#, true));
    }
}
