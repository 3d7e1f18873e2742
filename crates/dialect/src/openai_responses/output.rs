//! The items of an answer: what they hold, and how they are written, whole or as they begin.

use crate::chat::{Citation, CitationPlace, Json, TokenLogprob};
use crate::json::Object;
use crate::openai_responses::echo::Echo;

/// One item.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
    /// Nothing more comes.
    pub(super) state: State,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    InProgress,
    Completed,
    /// The answer ended in it.
    Incomplete,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Body {
    Message(Vec<Piece>),
    Reasoning {
        text: String,
        encrypted: Option<String>,
    },
    Call {
        number: u32,
        call_id: String,
        name: String,
        input: String,
        custom: bool,
    },
    /// As the vendor wrote it.
    Whole(Json),
}

/// A part of a message.
#[derive(Debug)]
pub(super) enum Piece {
    Text { text: String, cited: Vec<Cited>, logprobs: Vec<TokenLogprob> },
    Refusal(String),
}

/// A page that a text cites.
#[derive(Debug)]
pub(super) struct Cited {
    start: usize,
    end: usize,
    citation: Citation,
}

impl Cited {
    /// None where the wire has no word for the source: it knows pages on the web.
    pub(super) fn of(citation: &Citation, text: &str) -> Option<Self> {
        matches!(citation.place, CitationPlace::Web { .. }).then(|| Self {
            start: 0,
            end: text.chars().count(),
            citation: citation.clone(),
        })
    }

    pub(super) fn write(&self, object: &mut Object<'_>) {
        let CitationPlace::Web { url, .. } = &self.citation.place else { return };
        object.field("type", "url_citation");
        object.field("start_index", &self.start);
        object.field("end_index", &self.end);
        object.field("title", self.citation.title.as_deref().unwrap_or_default());
        object.field("url", url);
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Item {
    pub(super) fn is_open(&self) -> bool {
        self.state == State::InProgress
    }

    /// Writes the item as far as it is; as it begins, there is nothing in it yet.
    pub(super) fn write(&self, object: &mut Object<'_>, echo: Option<&Echo>) {
        if let Body::Whole(block) = &self.body {
            return object.members(block);
        }
        object.field("id", &self.id);
        match &self.body {
            Body::Message(pieces) => {
                object.field("type", "message");
                object.field("status", self.state.word());
                object.field("role", "assistant");
                object.objects("content", pieces, |object, piece| piece.write(object));
            }
            Body::Reasoning { text, encrypted } => {
                object.field("type", "reasoning");
                object.objects("summary", Some(text).filter(|text| !text.is_empty()), |part, text| {
                    write_summary(part, text);
                });
                object.opt("encrypted_content", encrypted.as_ref());
            }
            Body::Call { call_id, name, input, custom, .. } => {
                let (kind, member) =
                    if *custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
                object.field("type", kind);
                object.field("status", self.state.word());
                object.field("call_id", call_id);
                match echo.and_then(|echo| echo.spaced(name)) {
                    Some(spaced) => {
                        object.field("namespace", &spaced.namespace);
                        object.field("name", &spaced.name);
                    }
                    None => object.field("name", name),
                }
                object.field(member, input);
            }
            Body::Whole(_) => {}
        }
    }
}

pub(super) fn write_summary(part: &mut Object<'_>, text: &str) {
    part.field("type", "summary_text");
    part.field("text", text);
}

impl Piece {
    pub(super) fn write(&self, object: &mut Object<'_>) {
        match self {
            Self::Text { text, cited, logprobs } => {
                object.field("type", "output_text");
                object.field("text", text);
                object.objects("annotations", cited, |object, cited| cited.write(object));
                write_logprobs(object, logprobs);
            }
            Self::Refusal(text) => {
                object.field("type", "refusal");
                object.field("refusal", text);
            }
        }
    }

    /// As it begins.
    pub(super) fn write_empty(&self, object: &mut Object<'_>) {
        match self {
            Self::Text { .. } => {
                Self::Text { text: String::new(), cited: Vec::new(), logprobs: Vec::new() }.write(object);
            }
            Self::Refusal(_) => Self::Refusal(String::new()).write(object),
        }
    }
}

/// The SDKs' types want the bytes of every token.
pub(super) fn write_logprobs(object: &mut Object<'_>, logprobs: &[TokenLogprob]) {
    object.objects("logprobs", logprobs, |object, token| {
        object.field("token", &token.token);
        object.field("bytes", token.bytes.as_deref().unwrap_or(token.token.as_bytes()));
        object.field("logprob", &token.logprob);
        object.objects("top_logprobs", &token.top_logprobs, |object, top| {
            object.field("token", &top.token);
            object.field("bytes", top.bytes.as_deref().unwrap_or(top.token.as_bytes()));
            object.field("logprob", &top.logprob);
        });
    });
}
