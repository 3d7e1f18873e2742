//! The canonical chat model: what every dialect is decoded into and encoded from.
//!
//! A superset of the wires that are spoken, not of those that might be. Values that nobody interprets are
//! carried as [`Json`]; members without a name of their own are kept in `extra`. What only one wire can say
//! ([`Part::Foreign`], [`ToolKind::Foreign`], `extra`) goes back to that wire as it came, and is a loss on any other.

mod answer;

use std::collections::BTreeSet;

use crate::dialect::Dialect;
use crate::json::{Fault, Fields, Unread};
use crate::loss::Loss;
use crate::places::Places;

pub use crate::json::{Extra, Json};
pub use answer::{ChatResponse, Choice, FinishReason, Logprobs, TokenLogprob, TopLogprob};

/// A request for an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatRequest {
    /// The model as the client called it, or as the target calls it.
    pub model: String,
    /// The conversation in order, system and developer messages in their places.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether and what it must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may make several calls in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub response_format: Option<ResponseFormat>,
    /// Cap on generated tokens, reasoning included.
    pub max_output_tokens: Option<u64>,
    /// Randomness, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus, 0 to 1.
    pub top_p: Option<f64>,
    /// How many of the likeliest tokens to choose from.
    pub top_k: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers, 1 to 128.
    pub choices: Option<u64>,
    /// Whether to report the probability of each token.
    pub logprobs: Option<bool>,
    /// How many alternatives to report for each token, 0 to 20.
    pub top_logprobs: Option<u64>,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Against new mentions of what was mentioned, −2 to 2.
    pub presence_penalty: Option<f64>,
    /// Against repetition, −2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Bias by token id.
    pub logit_bias: Option<Json>,
    /// The end user.
    pub user: Option<String>,
    /// The end user, hashed, for the vendor's abuse checks.
    pub safety_identifier: Option<String>,
    /// Labels the vendor stores with the call.
    pub metadata: Option<Json>,
    /// How hard to think: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, or a vendor's own word.
    pub reasoning_effort: Option<String>,
    /// Whether and how to think, where the wire has a switch for it.
    pub thinking: Option<Thinking>,
    /// How much to say: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
    /// `auto`, `default`, `flex`, `scale`, `priority`, or a vendor's own word.
    pub service_tier: Option<String>,
    /// Whether the vendor keeps the answer.
    pub store: Option<bool>,
    /// Whether to stream.
    pub stream: bool,
    /// Whether the stream ends with usage.
    pub include_usage: bool,
    /// Further options of the stream.
    pub stream_extra: Extra,
    /// Kinds of output: `text`, `audio`.
    pub modalities: Vec<String>,
    /// Voice and format of audio output.
    pub audio: Option<Json>,
    /// Text that the answer probably repeats.
    pub prediction: Option<Json>,
    /// The vendor's web search.
    pub web_search_options: Option<Json>,
    /// Groups calls that share a prefix in the vendor's cache.
    pub prompt_cache_key: Option<String>,
    /// How long the vendor's cache keeps the prefix.
    pub prompt_cache_retention: Option<String>,
    /// Who wrote `extra`; none if nobody's wire brought the request.
    pub origin: Option<Dialect>,
    /// Where the client wrote it.
    pub places: Places,
    /// Members without a name above, in the words of `origin`.
    pub extra: Extra,
}

impl ChatRequest {
    /// Reads a client's body, and notes the members of it that `read` does not know.
    pub(crate) fn read(
        text: &str,
        read: impl FnOnce(Fields<'_, '_>) -> Result<Self, Fault>,
    ) -> Result<Self, Fault> {
        let (mut request, unread) = Unread::of(text, read)?;
        request.places.leave_unread(unread);
        Ok(request)
    }

    /// The members that nobody knows wherever they stand, so that no target is told of them.
    pub fn unread(&self) -> impl Iterator<Item = Loss> {
        self.places.unread().iter().map(Loss::unread)
    }

    /// Losses on a wire by the names that the client gave the fields, and with them what no wire or only the client's own
    /// has a place for, wherever it stands.
    pub(crate) fn named(&self, mut losses: Vec<Loss>, target: Dialect) -> Vec<Loss> {
        if self.origin.is_some_and(|origin| !origin.shares_words(target)) {
            let known: BTreeSet<String> = losses.iter().map(|loss| loss.field.clone()).collect();
            losses.extend(Loss::beside(self, target).filter(|loss| !known.contains(&loss.field)));
        }
        // Members without a name of our own are in the client's words already.
        for loss in losses.iter_mut().filter(|loss| !self.extra.contains_key(&loss.field)) {
            loss.field = self.places.name(&loss.field);
        }
        losses.extend(self.unread());
        losses
    }
}

/// Whether and how to think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinking {
    /// Whether, and for how long.
    pub mode: ThinkingMode,
    /// How much of it is shown: `summarized`, `omitted`, or a vendor's own word.
    pub display: Option<String>,
}

/// Whether to think, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinkingMode {
    /// Not at all.
    Disabled,
    /// As long as the model sees fit.
    Adaptive,
    /// Between tool calls alone.
    BetweenTools,
    /// For at most so many tokens.
    Budget(u64),
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Standing instructions.
    System,
    /// Standing instructions, in the newer word.
    Developer,
    /// The user.
    #[default]
    User,
    /// The model.
    Assistant,
    /// Results of tool calls.
    Tool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// A name for the speaker.
    pub name: Option<String>,
    /// What is said, in order: reasoning, then content, then tool calls where the wire has no order of its own.
    pub content: Vec<Part>,
    /// Members without a name above.
    pub extra: Extra,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Where it comes from.
        citations: Vec<Citation>,
        /// Members without a name above.
        extra: Extra,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: Media,
        /// `auto`, `low`, `high`.
        detail: Option<String>,
    },
    /// Sound in the prompt.
    Audio {
        /// `wav`, `mp3`.
        format: String,
        /// Base64, checked.
        data: String,
    },
    /// Sound that the vendor generated earlier and keeps.
    AudioRef {
        /// The vendor's id.
        id: String,
    },
    /// A document.
    File {
        /// Where it is.
        source: FileSource,
        /// Its name, or its title.
        filename: Option<String>,
        /// What the model should know of it beside its text.
        context: Option<String>,
        /// Whether the answer may cite it.
        citations: bool,
    },
    /// A result of the caller's own search, which the answer may cite.
    SearchResult {
        /// Where it was found.
        source: String,
        /// Its title.
        title: String,
        /// Its texts.
        content: Vec<Part>,
        /// Whether the answer may cite it.
        citations: bool,
    },
    /// The model declined.
    Refusal {
        /// What it said.
        text: String,
    },
    /// What the model thought.
    Reasoning {
        /// The text; empty where the vendor shows none.
        text: String,
        /// The vendor's proof that it is unchanged. Only Claude's are known so far, the same on each of its wires.
        signature: Option<String>,
    },
    /// What the model thought and its vendor hides.
    RedactedReasoning {
        /// As the vendor wrote it.
        data: String,
    },
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// The answer to a tool call.
    ToolResult(ToolResult),
    /// Structured content of a tool result.
    Json(Json),
    /// The vendor caches everything up to here; stands after what it covers.
    CacheMark(CacheTtl),
    /// What only one wire has a word for.
    Foreign {
        /// Which.
        dialect: Dialect,
        /// The word.
        kind: String,
        /// The whole block as it was written.
        block: Json,
    },
}

impl Part {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), citations: Vec::new(), extra: Extra::new() }
    }

    /// Reasoning without a signature.
    pub fn reasoning(text: impl Into<String>) -> Self {
        Self::Reasoning { text: text.into(), signature: None }
    }
}

/// How long a vendor's cache keeps a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes, the usual.
    FiveMinutes,
    /// An hour.
    OneHour,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    /// The title of the source.
    pub title: Option<String>,
    /// The words of the source.
    pub cited_text: Option<String>,
    /// Where in it.
    pub place: CitationPlace,
}

/// Where in a source. Documents are counted from 0 over the request; ends are exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CitationPlace {
    /// A page on the web.
    Web {
        /// Its address.
        url: String,
        /// The vendor's own reference, which it wants back.
        encrypted_index: Option<String>,
    },
    /// Characters of a document.
    Characters {
        /// Which document.
        document: u64,
        /// The first.
        start: u64,
        /// The one after the last.
        end: u64,
    },
    /// Pages of a document, from 1.
    Pages {
        /// Which document.
        document: u64,
        /// The first.
        start: u64,
        /// The one after the last.
        end: u64,
    },
    /// Blocks of a document.
    Blocks {
        /// Which document.
        document: u64,
        /// The first.
        start: u64,
        /// The one after the last.
        end: u64,
    },
    /// Blocks of a search result.
    SearchResult {
        /// Where it was found.
        source: Option<String>,
        /// Which search result.
        result: u64,
        /// The first block.
        start: u64,
        /// The one after the last.
        end: u64,
    },
}

/// Where a picture is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Somewhere on the network.
    Url(String),
    /// In the request.
    Inline {
        /// `image/png`.
        media_type: String,
        /// Base64, checked.
        data: String,
    },
    /// In the vendor's file store.
    Id(String),
}

/// Where a document is.
#[derive(Debug, Clone, PartialEq)]
pub enum FileSource {
    /// In the vendor's file store.
    Id(String),
    /// Somewhere on the network.
    Url(String),
    /// In the request.
    Inline {
        /// `application/pdf`; none if the client did not say.
        media_type: Option<String>,
        /// Base64, checked.
        data: String,
    },
    /// In the request, as text.
    Text(String),
    /// In the request, in pieces that the answer may cite.
    Parts(Vec<Part>),
}

/// The model calls a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Unique in the conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is given.
    pub input: ToolInput,
}

/// What a tool is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolInput {
    /// A function's arguments: JSON as the model wrote it, which may be malformed.
    Arguments(String),
    /// A custom tool's free text.
    Text(String),
}

/// The answer to a tool call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The call it answers.
    pub call_id: String,
    /// What came out.
    pub content: Vec<Part>,
    /// Whether the tool failed.
    pub is_error: bool,
}

/// What the model may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The name it is called by.
    pub name: String,
    /// What it is good for.
    pub description: Option<String>,
    /// What it takes.
    pub kind: ToolKind,
    /// The vendor caches the tools up to this one.
    pub cache: Option<CacheTtl>,
    /// Members without a name above.
    pub extra: Extra,
}

/// What a tool takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolKind {
    /// Arguments by a JSON schema.
    Function {
        /// The schema; none: no arguments.
        parameters: Option<Json>,
        /// Whether the arguments are held to the schema.
        strict: Option<bool>,
    },
    /// Free text, perhaps by a grammar.
    Custom {
        /// The grammar.
        format: Option<Json>,
    },
    /// A tool that the vendor defines, and may run itself.
    Foreign {
        /// On which wire.
        dialect: Dialect,
        /// Its type there (`web_search_20250305`).
        kind: String,
        /// The whole definition as it was written.
        definition: Json,
    },
}

/// Whether and what the model must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nothing.
    None,
    /// As it likes.
    Auto,
    /// Something.
    Required,
    /// This tool.
    Tool(String),
    /// Some of the tools.
    Allowed {
        /// Whether it must call one.
        required: bool,
        /// Their names.
        names: Vec<String>,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// A name for the schema.
        name: String,
        /// The schema.
        schema: Option<Json>,
        /// Whether the answer is held to the schema.
        strict: Option<bool>,
        /// What the answer is for.
        description: Option<String>,
    },
}
