//! How much of a request's body is media, in base64 or by their address: what no vendor takes for text.
//!
//! Only what stands where the wire has media is taken for such ([`Shape`]): the same words inside a text or the input of
//! a tool are text, and stay so. One pass over the body; a body that differs from the wire has no media.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::Dialect;
use crate::facts::count_tokens;
use crate::peek::InputBound;

/// What a picture is counted as where its vendor does not tell: the most that Anthropic prints for one (1,568 tokens,
/// "Vision"), which is about what `OpenAI` charges for eight tiles at the price of its large models (85 + 8 × 170,
/// "Images and vision").
pub const PICTURE_TOKENS: u64 = 1_600;
/// So much base64 of anything else (documents, sounds, films) is counted as one picture: about a page with its text,
/// or six seconds of sound. Nothing but its length is known of it here.
const UNIT_BYTES: u64 = 100_000;
/// A shorter body without addresses is not looked into: as text it would be counted as less than a picture.
const LEAST: u64 = 4 * PICTURE_TOKENS;

/// Media inside a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inline {
    /// How many pictures.
    pictures: u64,
    /// The length of their base64.
    picture_bytes: u64,
    /// The length of the base64 of documents and films.
    document_bytes: u64,
    /// That of sounds.
    sound_bytes: u64,
    /// The length of addresses.
    link_bytes: u64,
    /// What all of them are counted as, if the vendor does not tell.
    tokens: u64,
}

/// What kind of media a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Medium {
    Picture,
    Document,
    Sound,
}

/// Where a wire has media.
enum Shape {
    /// Each element of an array.
    Each(&'static Shape),
    /// Members of an object.
    Of(&'static [(&'static str, &'static Shape)]),
    /// Base64.
    Data(Medium),
    /// A data URL, which says what it is, or an address.
    Url,
    /// A data URL.
    DataUrl,
    /// An address, behind which nobody here has looked.
    Link,
    /// An object that holds base64 and says what it is, or an address.
    Typed { kinds: &'static [&'static str], data: &'static str, link: &'static [&'static str] },
}

use Shape::{Data, DataUrl, Each, Link, Of, Typed, Url};

const STORED: (&str, &Shape) = ("s3Location", &Of(&[("uri", &Link)]));
const BYTES_OF_A_PICTURE: Shape = Of(&[("source", &Of(&[("bytes", &Data(Medium::Picture)), STORED]))]);
const BYTES_OF_A_DOCUMENT: Shape = Of(&[("source", &Of(&[("bytes", &Data(Medium::Document)), STORED]))]);
const BYTES_OF_A_SOUND: Shape = Of(&[("source", &Of(&[("bytes", &Data(Medium::Sound)), STORED]))]);

static CHAT: Shape = Of(&[(
    "messages",
    &Each(&Of(&[(
        "content",
        &Each(&Of(&[
            ("image_url", &Of(&[("url", &Url)])),
            ("input_audio", &Of(&[("data", &Data(Medium::Sound))])),
            ("file", &Of(&[("file_data", &DataUrl)])),
        ])),
    )])),
)]);

const INPUT: Shape = Each(&Of(&[
    ("image_url", &Url),
    ("file_data", &DataUrl),
    ("file_url", &Link),
    ("input_audio", &Of(&[("data", &Data(Medium::Sound))])),
]));
static RESPONSES: Shape = Of(&[("input", &Each(&Of(&[("content", &INPUT), ("output", &INPUT)])))]);

const SOURCE: Shape = Typed { kinds: &["media_type"], data: "data", link: &["url"] };
static ANTHROPIC: Shape = Of(&[(
    "messages",
    &Each(&Of(&[(
        "content",
        &Each(&Of(&[("source", &SOURCE), ("content", &Each(&Of(&[("source", &SOURCE)])))])),
    )])),
)]);

static CONVERSE: Shape = Of(&[(
    "messages",
    &Each(&Of(&[(
        "content",
        &Each(&Of(&[
            ("image", &BYTES_OF_A_PICTURE),
            ("document", &BYTES_OF_A_DOCUMENT),
            ("video", &BYTES_OF_A_DOCUMENT),
            ("audio", &BYTES_OF_A_SOUND),
            (
                "toolResult",
                &Of(&[(
                    "content",
                    &Each(&Of(&[
                        ("image", &BYTES_OF_A_PICTURE),
                        ("document", &BYTES_OF_A_DOCUMENT),
                        ("video", &BYTES_OF_A_DOCUMENT),
                    ])),
                )]),
            ),
        ])),
    )])),
)]);

const MIME: &[&str] = &["mimeType", "mime_type"];
const BLOB: Shape = Typed { kinds: MIME, data: "data", link: &[] };
const FILE: Shape = Of(&[("fileUri", &Link), ("file_uri", &Link)]);
static GEMINI: Shape = Of(&[(
    "contents",
    &Each(&Of(&[(
        "parts",
        &Each(&Of(&[
            ("inlineData", &BLOB),
            ("inline_data", &BLOB),
            ("fileData", &FILE),
            ("file_data", &FILE),
        ])),
    )])),
)]);

impl Inline {
    /// The media of a chat request. `bound` is what the peek found.
    pub fn find(dialect: Dialect, body: &[u8], bound: &InputBound) -> Self {
        let mut found = Self::default();
        // An address is of unknowable size, whatever stands behind it, and however short the body is.
        if !bound.unknowable && (bound.bytes < LEAST || bound.media == 0) {
            return found;
        }
        let shape = match dialect {
            Dialect::OpenAiChat => &CHAT,
            Dialect::OpenAiResponses => &RESPONSES,
            Dialect::AnthropicMessages | Dialect::BedrockInvokeAnthropic => &ANTHROPIC,
            Dialect::BedrockConverse => &CONVERSE,
            Dialect::GeminiGenerate | Dialect::GeminiArray => &GEMINI,
        };
        let seed = Walk { shape, found: &mut found };
        match seed.deserialize(&mut serde_json::Deserializer::from_slice(body)) {
            Ok(()) => found,
            Err(_) => Self::default(),
        }
    }

    /// How many of the bytes of `bound` may be text, for the most that a prompt can have. Pictures are bounded by their
    /// number, if the peek has counted each; documents and films by the context window alone, which the peek then asks
    /// for. A sound may have a token for every byte.
    pub fn text_at_most(&self, bound: &InputBound) -> u64 {
        let pictures = if self.pictures <= bound.media { self.picture_bytes } else { 0 };
        let documents = if bound.unknowable { self.document_bytes } else { 0 };
        bound.bytes.saturating_sub(pictures).saturating_sub(documents)
    }

    /// What a prompt of `bytes` is counted as whose vendor does not tell: a token for every four bytes of text, and an
    /// estimate for media: of what is here never more than it would have as text, and one picture for what an address
    /// leads to.
    pub fn counted(&self, bytes: u64) -> u64 {
        let media = self.picture_bytes + self.document_bytes + self.sound_bytes + self.link_bytes;
        count_tokens(bytes.saturating_sub(media), 0).saturating_add(self.tokens)
    }

    /// Adds base64 of so many bytes.
    fn add(&mut self, medium: Medium, length: usize) {
        let length = length as u64;
        let units = match medium {
            Medium::Picture => {
                self.pictures += 1;
                self.picture_bytes += length;
                1
            }
            Medium::Document => {
                self.document_bytes += length;
                length.div_ceil(UNIT_BYTES)
            }
            Medium::Sound => {
                self.sound_bytes += length;
                length.div_ceil(UNIT_BYTES)
            }
        };
        self.tokens += (units * PICTURE_TOKENS).min(count_tokens(length, 0));
    }

    /// Adds what an address of so many bytes leads to.
    fn add_link(&mut self, length: usize) {
        self.link_bytes += length as u64;
        self.tokens += PICTURE_TOKENS;
    }
}

impl Medium {
    /// None: text, however it is written.
    fn of(media_type: &str) -> Option<Self> {
        let (kind, name) = media_type.split_once('/')?;
        match kind {
            "image" => Some(Self::Picture),
            "audio" => Some(Self::Sound),
            "video" => Some(Self::Document),
            "application" if name == "pdf" => Some(Self::Document),
            _ => None,
        }
    }
}

/// Goes through a value of a shape.
struct Walk<'a> {
    shape: &'static Shape,
    found: &'a mut Inline,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match self.shape {
            Data(medium) => self.found.add(*medium, text.len()),
            Url | DataUrl => {
                let here = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
                let data = text.split_once(";base64,").filter(|_| here);
                if let Some((head, data)) = data {
                    if let Some(medium) = Medium::of(&head[5..]) {
                        self.found.add(medium, data.len());
                    }
                } else if !here && matches!(self.shape, Url) {
                    self.found.add_link(text.len());
                }
            }
            Link => self.found.add_link(text.len()),
            Each(_) | Of(_) | Typed { .. } => {}
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Each(shape) = self.shape else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        while list.next_element_seed(Walk { shape, found: &mut *self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let (mut kind, mut base64) = (None, None);
        while let Some(key) = object.next_key::<String>()? {
            match self.shape {
                Of(members) if let Some((_, shape)) = members.iter().find(|(name, _)| *name == key) => {
                    object.next_value_seed(Walk { shape, found: &mut *self.found })?;
                }
                Typed { kinds, .. } if kinds.contains(&key.as_str()) => kind = object.next_value()?,
                Typed { data, .. } if *data == key => base64 = object.next_value()?,
                Typed { link, .. } if link.contains(&key.as_str()) => {
                    object.next_value_seed(Walk { shape: &Link, found: &mut *self.found })?;
                }
                Each(_) | Of(_) | Data(_) | Url | DataUrl | Link | Typed { .. } => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        let (kind, base64): (Option<String>, Option<&RawValue>) = (kind, base64);
        let medium = kind.as_deref().and_then(Medium::of);
        let base64 = base64.and_then(|raw| raw.get().strip_prefix('"')?.strip_suffix('"'));
        if let (Some(medium), Some(base64)) = (medium, base64) {
            self.found.add(medium, base64.len());
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peek::Outside;

    const LENGTH: usize = 2_000_000;

    fn found(dialect: Dialect, body: &str) -> (Inline, InputBound) {
        let outside = Outside { model: Some("m"), stream: false, version: None, headers: None };
        let bound = dialect.peek(body.as_bytes(), &outside).unwrap().bound;
        (Inline::find(dialect, body.as_bytes(), &bound), bound)
    }

    fn blocks(dialect: Dialect, block: &str) -> String {
        match dialect {
            Dialect::GeminiGenerate | Dialect::GeminiArray => {
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"hi"}},{block}]}}]}}"#)
            }
            Dialect::BedrockInvokeAnthropic => format!(
                r#"{{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{{"role":"user","content":[{block}]}}]}}"#
            ),
            Dialect::OpenAiResponses => format!(
                r#"{{"model":"m","input":[{{"role":"user","content":[{{"type":"input_text","text":"hi"}},{block}]}}]}}"#
            ),
            Dialect::OpenAiChat | Dialect::AnthropicMessages | Dialect::BedrockConverse => {
                format!(
                    r#"{{"model":"m","messages":[{{"role":"user","content":[{{"text":"hi"}},{block}]}}]}}"#
                )
            }
        }
    }

    /// Every wire's picture, document and sound with `data` in it.
    fn media(data: &str) -> Vec<(Dialect, String, Medium)> {
        use Dialect::{
            AnthropicMessages, BedrockConverse, BedrockInvokeAnthropic, GeminiGenerate, OpenAiChat,
            OpenAiResponses,
        };
        let source = |kind: &str, media_type: &str| {
            format!(
                r#"{{"type":"{kind}","source":{{"type":"base64","media_type":"{media_type}","data":"{data}"}}}}"#
            )
        };
        let result =
            |inner: &str| format!(r#"{{"type":"tool_result","tool_use_id":"t","content":[{inner}]}}"#);
        let bytes =
            |kind: &str| format!(r#"{{"{kind}":{{"format":"x","name":"n","source":{{"bytes":"{data}"}}}}}}"#);
        let blob = |mime: &str| format!(r#"{{"inlineData":{{"data":"{data}","mimeType":"{mime}"}}}}"#);
        vec![
            (
                OpenAiResponses,
                format!(r#"{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}"#),
                Medium::Picture,
            ),
            (
                OpenAiResponses,
                format!(r#"{{"type":"input_file","file_data":"data:application/pdf;base64,{data}"}}"#),
                Medium::Document,
            ),
            (
                OpenAiChat,
                format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}"#),
                Medium::Picture,
            ),
            (
                OpenAiChat,
                format!(r#"{{"type":"file","file":{{"file_data":"data:application/pdf;base64,{data}"}}}}"#),
                Medium::Document,
            ),
            (
                OpenAiChat,
                format!(r#"{{"type":"input_audio","input_audio":{{"data":"{data}","format":"wav"}}}}"#),
                Medium::Sound,
            ),
            (AnthropicMessages, source("image", "image/png"), Medium::Picture),
            (AnthropicMessages, result(&source("image", "image/png")), Medium::Picture),
            (AnthropicMessages, source("document", "application/pdf"), Medium::Document),
            (BedrockInvokeAnthropic, source("image", "image/png"), Medium::Picture),
            (BedrockConverse, bytes("image"), Medium::Picture),
            (
                BedrockConverse,
                format!(r#"{{"toolResult":{{"content":[{}]}}}}"#, bytes("image")),
                Medium::Picture,
            ),
            (BedrockConverse, bytes("document"), Medium::Document),
            (BedrockConverse, bytes("audio"), Medium::Sound),
            (GeminiGenerate, blob("image/png"), Medium::Picture),
            (GeminiGenerate, blob("application/pdf"), Medium::Document),
            (GeminiGenerate, blob("audio/wav"), Medium::Sound),
        ]
    }

    #[test]
    fn media_are_no_text_on_any_wire() {
        let data = "A".repeat(LENGTH);
        for (dialect, block, medium) in media(&data) {
            let body = blocks(dialect, &block);
            let (inline, bound) = found(dialect, &body);
            let rest = (body.len() - LENGTH) as u64;
            let estimate = if medium == Medium::Picture { PICTURE_TOKENS } else { 20 * PICTURE_TOKENS };
            let what = &block[..60];
            assert_eq!(inline.counted(bound.bytes), rest.div_ceil(4) + estimate, "{dialect:?} {what}");
            // Only a sound may be as many tokens as it has bytes.
            let most = if medium == Medium::Sound { bound.bytes } else { rest };
            assert_eq!(inline.text_at_most(&bound), most, "{dialect:?} {what}");
            assert_eq!(
                bound.media == 0,
                medium == Medium::Document && !bound_counts(dialect),
                "{dialect:?} {what}"
            );
        }
    }

    /// Gemini's peek counts whatever is inline.
    fn bound_counts(dialect: Dialect) -> bool {
        dialect == Dialect::GeminiGenerate
    }

    #[test]
    fn what_an_address_leads_to_counts_as_one_picture() {
        use Dialect::{
            AnthropicMessages, BedrockConverse, BedrockInvokeAnthropic, GeminiGenerate, OpenAiChat,
            OpenAiResponses,
        };
        let link = "https://example.com/a.png";
        let url = |kind: &str| format!(r#"{{"type":"{kind}","source":{{"type":"url","url":"{link}"}}}}"#);
        let s3 = |kind: &str| {
            format!(
                r#"{{"{kind}":{{"format":"x","name":"n","source":{{"s3Location":{{"uri":"{link}"}}}}}}}}"#
            )
        };
        let cases = [
            (OpenAiChat, format!(r#"{{"type":"image_url","image_url":{{"url":"{link}"}}}}"#)),
            (OpenAiResponses, format!(r#"{{"type":"input_image","image_url":"{link}"}}"#)),
            (OpenAiResponses, format!(r#"{{"type":"input_file","file_url":"{link}"}}"#)),
            (AnthropicMessages, url("image")),
            (AnthropicMessages, url("document")),
            (BedrockInvokeAnthropic, url("image")),
            (BedrockConverse, s3("image")),
            (BedrockConverse, s3("document")),
            (GeminiGenerate, format!(r#"{{"fileData":{{"mimeType":"image/png","fileUri":"{link}"}}}}"#)),
        ];
        for (dialect, block) in cases {
            let body = blocks(dialect, &block);
            let (inline, bound) = found(dialect, &body);
            let rest = (body.len() - link.len()) as u64;
            assert_eq!(inline.counted(bound.bytes), rest.div_ceil(4) + PICTURE_TOKENS, "{dialect:?} {block}");
            // The context window bounds it, whatever is behind the address.
            assert!(bound.unknowable && inline.text_at_most(&bound) == bound.bytes, "{dialect:?} {block}");
        }
    }

    #[test]
    fn little_media_are_never_more_than_their_base64_as_text() {
        for length in [4, 400, 4_000, 6_400, 8_000] {
            let data = "A".repeat(length);
            for (dialect, block, _) in media(&data) {
                let body = blocks(dialect, &block);
                let (inline, bound) = found(dialect, &body);
                let text = bound.bytes.div_ceil(4);
                assert!(inline.counted(bound.bytes) <= text + 1, "{length} bytes: {block:.60}");
            }
        }
    }

    #[test]
    fn what_stands_elsewhere_is_text() {
        use Dialect::{AnthropicMessages, BedrockConverse, GeminiGenerate, OpenAiChat};
        let data = "A".repeat(LENGTH);
        let source = format!(r#"{{"type":"base64","media_type":"image/png","data":"{data}"}}"#);
        let cases = [
            (
                AnthropicMessages,
                format!(r#"{{"type":"tool_use","id":"t","name":"f","input":{{"source":{source}}}}}"#),
            ),
            (
                AnthropicMessages,
                format!(
                    r#"{{"type":"document","source":{{"type":"text","media_type":"text/plain","data":"{data}"}}}}"#
                ),
            ),
            // The peek has not counted it as a picture, so it is none.
            (
                AnthropicMessages,
                format!(
                    r#"{{"type":"document","source":{{"type":"text","media_type":"image/png","data":"{data}"}}}}"#
                ),
            ),
            (
                BedrockConverse,
                format!(r#"{{"toolUse":{{"input":{{"image":{{"source":{{"bytes":"{data}"}}}}}}}}}}"#),
            ),
            (
                GeminiGenerate,
                format!(
                    r#"{{"functionCall":{{"name":"f","args":{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}}}}}"#
                ),
            ),
            (
                OpenAiChat,
                format!(r#"{{"type":"image_url","image_url":{{"url":"data:text/plain;base64,{data}"}}}}"#),
            ),
            (OpenAiChat, format!(r#"{{"type":"text","text":"{data}"}}"#)),
        ];
        for (dialect, block) in cases {
            let (inline, bound) = found(dialect, &blocks(dialect, &block));
            assert_eq!(inline.text_at_most(&bound), bound.bytes, "{block:.60}");
        }
    }
}
