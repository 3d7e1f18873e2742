//! The closed set of dialects. Every method is one `match`, so a new dialect is found by compile errors.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use steelyard_core::{ApiError, RequestId, Usage};

use crate::anthropic::Carrier;
use crate::chat::{ChatRequest, ChatResponse};
use crate::error::{UpstreamFault, WireError};
use crate::facts::{ReplyFacts, generated_bytes};
use crate::gemini::Framing;
use crate::loss::Loss;
use crate::openai_responses::Echo;
use crate::openai_responses::state::Kept;
use crate::peek::{Outside, Peek};
use crate::tap::StreamTap;
use crate::tool_names::ToolNames;
use crate::{anthropic, bedrock, bedrock_invoke, gemini, openai_chat, openai_responses};

mod streams;

pub use streams::{StreamDecoder, StreamEncoder};

/// A wire that clients and vendors speak.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    AnthropicMessages,
    /// Amazon Bedrock's Converse.
    BedrockConverse,
    /// Amazon Bedrock's `InvokeModel`, with Anthropic's bodies.
    BedrockInvokeAnthropic,
    /// Gemini's `generateContent`, and `streamGenerateContent` with `alt=sse`.
    GeminiGenerate,
    /// Gemini's `streamGenerateContent` without `alt=sse`: one array that grows. No vendor is asked for it.
    GeminiArray,
}

/// What a reply must say that the vendor's answer does not know: the client's own view of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    /// The id of the reply, in the form of the client's dialect (`chatcmpl-…`).
    pub id: String,
    /// The model as the client called it.
    pub model: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// Whether the client of a stream asked for usage.
    pub include_usage: bool,
    /// How long the answer took, in milliseconds; of a stream it is known at its end.
    pub elapsed_ms: u64,
    /// What the answer repeats of its request, where the dialect's answers do.
    pub echo: Option<Echo>,
}

/// What a request must fit: the vendor's side of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The model as the vendor calls it.
    pub model: &'a str,
    /// Its largest answer in tokens, if that is known.
    pub max_output: Option<u64>,
    /// Whether it is a server that speaks the wire and not the vendor whose wire it is.
    pub compatible: bool,
}

impl Dialect {
    /// The name in the ledger, in logs and in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::AnthropicMessages => "anthropic_messages",
            Self::BedrockConverse => "bedrock_converse",
            Self::BedrockInvokeAnthropic => "bedrock_invoke_anthropic",
            Self::GeminiGenerate => "gemini_generate",
            Self::GeminiArray => "gemini_generate_array",
        }
    }

    /// Whether calls of this dialect go on as they are to a vendor that speaks `wire`, and the answers come back so, but
    /// for what frames a stream.
    pub fn is_relayed_over(self, wire: Self) -> bool {
        self == wire || (self == Self::GeminiArray && wire == Self::GeminiGenerate)
    }

    /// Whether requests of this dialect are in the words of `wire`, but for who carries them.
    pub(crate) fn shares_words(self, wire: Self) -> bool {
        let words = |dialect| match dialect {
            Self::BedrockInvokeAnthropic => Self::AnthropicMessages,
            Self::GeminiArray => Self::GeminiGenerate,
            dialect => dialect,
        };
        words(self) == words(wire)
    }

    /// One borrowed pass over a request for what the relay must know; the messages are not decoded.
    ///
    /// Errors are the caller's: `SY0001` not JSON, `SY0002` a wrong or repeated field, `SY0003` one is missing.
    pub fn peek<'a>(self, body: &'a [u8], outside: &Outside<'a>) -> Result<Peek<'a>, ApiError> {
        match self {
            Self::OpenAiChat => openai_chat::peek::peek(body),
            Self::OpenAiResponses => openai_responses::peek::peek(body),
            Self::AnthropicMessages => anthropic::peek::peek(body, outside),
            Self::BedrockConverse => bedrock::peek::peek(body, outside),
            Self::BedrockInvokeAnthropic => bedrock_invoke::request::peek(body, outside),
            Self::GeminiGenerate | Self::GeminiArray => gemini::peek::peek(body, outside),
        }
    }

    /// A client's request in the canonical model. Errors are the caller's and name the field at fault.
    pub fn decode_request(self, body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
        match self {
            Self::OpenAiChat => openai_chat::request::decode::decode(body),
            Self::OpenAiResponses => openai_responses::request::decode::decode(body),
            Self::AnthropicMessages => anthropic::request::decode::decode(body, outside),
            Self::BedrockConverse => bedrock::request::decode::decode(body, outside),
            Self::BedrockInvokeAnthropic => bedrock_invoke::request::decode(body, outside),
            Self::GeminiGenerate | Self::GeminiArray => gemini::request::decode::decode(body, outside),
        }
    }

    /// The same of a request whose tokens are to be counted: it may lack what only an answer needs.
    pub fn decode_request_to_count(
        self,
        body: &[u8],
        outside: &Outside<'_>,
    ) -> Result<ChatRequest, ApiError> {
        match self {
            Self::AnthropicMessages => anthropic::count_tokens::decode_request(body, outside),
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => self.decode_request(body, outside),
        }
    }

    /// The answer to a client that asked how many tokens its request would have.
    pub fn tokens_reply(self, input_tokens: u64) -> Bytes {
        match self {
            Self::OpenAiResponses => openai_responses::reply::tokens(input_tokens),
            Self::OpenAiChat
            | Self::AnthropicMessages
            | Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => anthropic::count_tokens::reply(input_tokens),
        }
    }

    /// A request for a vendor that speaks this dialect, and what could not be expressed in it, in the words of the client
    /// that sent it.
    pub fn encode_request(self, request: &ChatRequest, target: &Target<'_>) -> (Bytes, Vec<Loss>) {
        let renamed = ToolNames::of(self, request).sent(request);
        let (request, renamed) = match &renamed {
            Some((renamed, losses)) => (renamed, losses.as_slice()),
            None => (request, [].as_slice()),
        };
        let (body, mut losses) = match self {
            Self::OpenAiChat => openai_chat::request::encode::encode(request, target),
            Self::OpenAiResponses => openai_responses::request::encode::encode(request, target),
            Self::AnthropicMessages => anthropic::request::encode::encode(request, target, Carrier::Api),
            Self::BedrockConverse => bedrock::request::encode::encode(request, target),
            Self::BedrockInvokeAnthropic => bedrock_invoke::request::encode(request, target),
            Self::GeminiGenerate | Self::GeminiArray => gemini::request::encode::encode(request, target),
        };
        losses.extend_from_slice(renamed);
        (body, request.named(losses, self))
    }

    /// The headers that such a request needs besides its body.
    pub fn request_headers(self, request: &ChatRequest) -> HeaderMap {
        let betas = match self {
            Self::AnthropicMessages => anthropic::request::encode::betas(request),
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => None,
        };
        let value = betas.and_then(|betas| HeaderValue::try_from(betas).ok());
        value.map(|value| (HeaderName::from_static("anthropic-beta"), value)).into_iter().collect()
    }

    /// A vendor's whole answer in the canonical model.
    pub fn decode_response(self, body: &[u8]) -> Result<ChatResponse, WireError> {
        match self {
            Self::OpenAiChat => openai_chat::reply::decode(body),
            Self::OpenAiResponses => openai_responses::reply::decode(body),
            Self::AnthropicMessages => anthropic::reply::decode(body),
            Self::BedrockConverse => bedrock::reply::decode(body),
            Self::BedrockInvokeAnthropic => {
                anthropic::reply::decode(body).map_err(|error| bedrock_invoke::facts::bedrocks(error, body))
            }
            Self::GeminiGenerate | Self::GeminiArray => gemini::reply::decode(body),
        }
    }

    /// A whole answer for a client of this dialect.
    pub fn encode_response(self, response: &ChatResponse, context: &ReplyContext) -> Bytes {
        match self {
            Self::OpenAiChat => openai_chat::reply::encode(response, context),
            Self::OpenAiResponses => openai_responses::reply::encode(response, context),
            Self::AnthropicMessages | Self::BedrockInvokeAnthropic => {
                anthropic::reply::encode(response, context)
            }
            Self::BedrockConverse => bedrock::reply::encode(response, context),
            Self::GeminiGenerate | Self::GeminiArray => gemini::reply::encode(response, context),
        }
    }

    /// Reads a vendor's stream.
    pub fn stream_decoder(self) -> StreamDecoder {
        match self {
            Self::OpenAiChat => StreamDecoder::OpenAiChat(Box::default()),
            Self::OpenAiResponses => StreamDecoder::OpenAiResponses(Box::default()),
            Self::AnthropicMessages => StreamDecoder::AnthropicMessages(Box::default()),
            Self::BedrockConverse => StreamDecoder::BedrockConverse(Box::default()),
            Self::BedrockInvokeAnthropic => StreamDecoder::BedrockInvokeAnthropic(Box::default()),
            Self::GeminiGenerate => {
                StreamDecoder::Gemini(Box::new(gemini::stream_decode::Decoder::new(Framing::Events)))
            }
            Self::GeminiArray => {
                StreamDecoder::Gemini(Box::new(gemini::stream_decode::Decoder::new(Framing::Array)))
            }
        }
    }

    /// Writes a stream for a client.
    pub fn stream_encoder(self, context: ReplyContext) -> StreamEncoder {
        match self {
            Self::OpenAiChat => {
                StreamEncoder::OpenAiChat(Box::new(openai_chat::stream_encode::Encoder::new(context)))
            }
            Self::OpenAiResponses => StreamEncoder::OpenAiResponses(Box::new(
                openai_responses::stream_encode::Encoder::new(context),
            )),
            Self::AnthropicMessages => {
                let encoder = anthropic::stream_encode::Encoder::new(context, Carrier::Api);
                StreamEncoder::Anthropic(Box::new(encoder))
            }
            Self::BedrockInvokeAnthropic => {
                let encoder = anthropic::stream_encode::Encoder::new(context, Carrier::Bedrock);
                StreamEncoder::Anthropic(Box::new(encoder))
            }
            Self::BedrockConverse => StreamEncoder::BedrockConverse(Box::default()),
            Self::GeminiGenerate => {
                let encoder = gemini::stream_encode::Encoder::new(context, Framing::Events);
                StreamEncoder::Gemini(Box::new(encoder))
            }
            Self::GeminiArray => {
                let encoder = gemini::stream_encode::Encoder::new(context, Framing::Array);
                StreamEncoder::Gemini(Box::new(encoder))
            }
        }
    }

    /// Reads along with a vendor's stream that is relayed. `hide_usage` undoes in the answer what
    /// [`relay_body`](crate::relay_body) injected into the request.
    pub fn tap(self, hide_usage: bool) -> StreamTap {
        match self {
            Self::OpenAiChat => StreamTap::OpenAiChat(Box::new(openai_chat::tap::Tap::new(hide_usage))),
            Self::OpenAiResponses => StreamTap::OpenAiResponses(Box::new(openai_responses::tap::Tap::new())),
            Self::AnthropicMessages => StreamTap::AnthropicMessages(Box::new(anthropic::tap::Tap::new())),
            // Usage is never injected on these wires.
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => StreamTap::Bedrock(Box::default()),
            Self::GeminiGenerate => StreamTap::Gemini(Box::new(gemini::tap::Tap::new(Framing::Events))),
            Self::GeminiArray => StreamTap::Gemini(Box::new(gemini::tap::Tap::new(Framing::Array))),
        }
    }

    /// A request that is relayed, without what its vendor would refuse because another vendor made it, and what that is. `kept`:
    /// what was put into a request whose state is kept here; `model`: the one that is called, by its name or its id in the
    /// catalog.
    pub fn relayable(self, body: Bytes, kept: Option<&Kept>, model: &str) -> (Bytes, Vec<Loss>) {
        match self {
            Self::OpenAiResponses => openai_responses::relayable(body, kept, model),
            Self::OpenAiChat
            | Self::AnthropicMessages
            | Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => (body, Vec::new()),
        }
    }

    /// What answers repeat of a request, where they do.
    pub fn echo(self, body: &[u8]) -> Option<Echo> {
        match self {
            Self::OpenAiResponses => Some(Echo::of(body)),
            Self::OpenAiChat
            | Self::AnthropicMessages
            | Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => None,
        }
    }

    /// An id for a reply, in the dialect's form; empty where replies have none in their body.
    pub fn reply_id(self, request_id: &RequestId) -> String {
        let id = request_id.uuid().simple();
        match self {
            Self::OpenAiChat => format!("chatcmpl-{id}"),
            Self::OpenAiResponses => openai_responses::error::reply_id(request_id),
            Self::AnthropicMessages => format!("msg_{id}"),
            Self::BedrockInvokeAnthropic => format!("msg_bdrk_{id}"),
            Self::BedrockConverse => String::new(),
            Self::GeminiGenerate | Self::GeminiArray => id.to_string(),
        }
    }

    /// The headers of a request that belong to the wire and go on to a vendor that speaks it.
    pub const fn own_headers(self) -> &'static [&'static str] {
        match self {
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::BedrockConverse
            | Self::GeminiGenerate
            | Self::GeminiArray => &[],
            Self::AnthropicMessages => &["anthropic-version", "anthropic-beta"],
            Self::BedrockInvokeAnthropic => &[
                "x-amzn-bedrock-performanceconfig-latency",
                "x-amzn-bedrock-request-metadata",
                "x-amzn-bedrock-service-tier",
            ],
        }
    }

    /// The content type of a stream.
    pub const fn stream_type(self) -> &'static str {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses | Self::AnthropicMessages | Self::GeminiGenerate => {
                "text/event-stream"
            }
            Self::GeminiArray => "application/json",
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => "application/vnd.amazon.eventstream",
        }
    }

    /// What the ledger needs of a vendor's whole answer, in one borrowed pass. An answer without usage is good;
    /// one that is no completion is an error.
    pub fn usage_of_reply(self, body: &[u8]) -> Result<ReplyFacts, WireError> {
        match self {
            Self::OpenAiChat => openai_chat::facts::of_reply(body),
            Self::OpenAiResponses => openai_responses::facts::of_reply(body),
            Self::AnthropicMessages => anthropic::facts::of_reply(body),
            Self::BedrockConverse => bedrock::facts::of_reply(body),
            Self::BedrockInvokeAnthropic => bedrock_invoke::facts::of_reply(body),
            Self::GeminiGenerate | Self::GeminiArray => gemini::facts::of_reply(body),
        }
    }

    /// What is left of an answer that [`usage_of_reply`](Self::usage_of_reply) does not read: the vendor's figures, if
    /// they stand in their place, and the text.
    pub fn remains_of_reply(self, body: &[u8]) -> ReplyFacts {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Remains<'a> {
            #[serde(borrow, default, alias = "usageMetadata")]
            usage: Option<&'a RawValue>,
        }
        let read = serde_json::from_slice::<Remains<'_>>(body).ok();
        let usage = read.and_then(|remains| remains.usage).map(RawValue::get);
        let usage = usage.and_then(|usage| match self {
            Self::OpenAiChat => openai_chat::usage::decode(usage),
            Self::OpenAiResponses => openai_responses::usage::figures(usage),
            Self::AnthropicMessages | Self::BedrockInvokeAnthropic => anthropic::usage::decode(usage),
            Self::BedrockConverse => bedrock::usage::decode(usage, false),
            Self::GeminiGenerate | Self::GeminiArray => gemini::usage::decode(usage),
        });
        ReplyFacts { usage, content_bytes: generated_bytes(body), ..ReplyFacts::default() }
    }

    /// An error as a client of this dialect expects it: the status, and a JSON body.
    pub fn error_body(self, error: &ApiError, request_id: &RequestId) -> (StatusCode, Bytes) {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => openai_chat::error::body(error, request_id),
            Self::AnthropicMessages => anthropic::error::body(error, request_id),
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => bedrock::error::body(error, request_id),
            Self::GeminiGenerate => gemini::error::body(error, request_id, Framing::Events),
            Self::GeminiArray => gemini::error::body(error, request_id, Framing::Array),
        }
    }

    /// The header in which the dialect's clients read an error's name, where there is one.
    pub fn error_header(self, error: &ApiError) -> Option<(&'static str, &'static str)> {
        match self {
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::AnthropicMessages
            | Self::GeminiGenerate
            | Self::GeminiArray => None,
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => Some(bedrock::error::header(error)),
        }
    }

    /// What the head of a whole answer says of it, besides the body. `elapsed_ms`: how long the vendor took.
    pub fn reply_headers(self, used: &Usage, elapsed_ms: u64) -> HeaderMap {
        match self {
            Self::OpenAiChat
            | Self::OpenAiResponses
            | Self::AnthropicMessages
            | Self::BedrockConverse
            | Self::GeminiGenerate
            | Self::GeminiArray => HeaderMap::new(),
            Self::BedrockInvokeAnthropic => bedrock_invoke::facts::headers(used, elapsed_ms),
        }
    }

    /// A vendor's refusal, read, for clients of another dialect.
    pub fn vendor_fault(self, headers: &HeaderMap, body: &[u8]) -> Option<UpstreamFault> {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => openai_chat::facts::fault_of_body(body),
            Self::AnthropicMessages => anthropic::facts::fault_of_body(body),
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => bedrock::error::fault(headers, body),
            Self::GeminiGenerate | Self::GeminiArray => gemini::facts::fault_of_body(body),
        }
    }

    /// A vendor's error that came within an answer of status 200, as the vendor would have sent it in place of one: its
    /// status, what its head would say besides, and its body.
    pub fn refusal(self, fault: &UpstreamFault) -> (StatusCode, HeaderMap, Bytes) {
        let bare = |(status, body)| (status, HeaderMap::new(), body);
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => bare(openai_chat::error::refusal(fault)),
            Self::AnthropicMessages => bare(anthropic::error::refusal(fault)),
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => {
                let (status, name, body) = bedrock::error::refusal(fault);
                let name = name.and_then(|name| HeaderValue::try_from(name).ok());
                let named = name.map(|name| (HeaderName::from_static(bedrock::error::HEADER), name));
                (status, named.into_iter().collect(), body)
            }
            Self::GeminiGenerate | Self::GeminiArray => bare(gemini::error::refusal(fault)),
        }
    }

    /// A comment that keeps a quiet stream open, where the dialect's clients bear one; none where they do not.
    pub const fn keep_alive(self) -> Option<&'static [u8]> {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => Some(b": keep-alive\n\n"),
            Self::AnthropicMessages => Some(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            // The SDK for Python reads every line as JSON.
            Self::BedrockConverse
            | Self::BedrockInvokeAnthropic
            | Self::GeminiGenerate
            | Self::GeminiArray => None,
        }
    }

    /// A vendor's own refusal of a request that is at fault, as a client of this dialect expects it.
    pub fn vendor_error_body(self, vendor: &[u8], error: &ApiError, request_id: &RequestId) -> Bytes {
        match self {
            Self::OpenAiChat | Self::OpenAiResponses => {
                openai_chat::error::vendor_body(vendor, error, request_id)
            }
            Self::AnthropicMessages => anthropic::error::vendor_body(vendor, error, request_id),
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => {
                bedrock::error::vendor_body(vendor, error, request_id)
            }
            Self::GeminiGenerate => gemini::error::vendor_body(vendor, error, request_id, Framing::Events),
            Self::GeminiArray => gemini::error::vendor_body(vendor, error, request_id, Framing::Array),
        }
    }

    /// An error inside a stream that has begun. The stream then closes without its terminal frame.
    pub fn error_event(self, error: &ApiError, request_id: &RequestId) -> Bytes {
        match self {
            Self::OpenAiChat => openai_chat::error::event(error, request_id),
            Self::OpenAiResponses => openai_responses::error::event(error, request_id),
            Self::AnthropicMessages => anthropic::error::event(error, request_id),
            Self::BedrockConverse | Self::BedrockInvokeAnthropic => bedrock::error::event(error, request_id),
            Self::GeminiGenerate => gemini::error::event(error, request_id, Framing::Events),
            Self::GeminiArray => gemini::error::event(error, request_id, Framing::Array),
        }
    }
}
