//! Amazon Bedrock's Converse and `ConverseStream` (`POST /model/{modelId}/converse`, `…/converse-stream`), after the service
//! model `bedrock-runtime` 2023-09-30 and the user guide.
//!
//! The model stands in the path and the operation says whether the answer streams; the body has neither. A stream is
//! [`event_stream`](crate::event_stream) frames, each with the JSON of one event.
//!
//! | file | work |
//! |---|---|
//! | `peek` | what the relay must know of a request |
//! | `content/decode`, `content/encode`, `content/citations` | blocks of content, both ways, of requests and answers |
//! | `request/decode`, `messages`, `order`, `additional` | a client's request into the canonical model |
//! | `request/encode`, `turns`, `tools`, `thinking`, `losses` | the canonical model into a request for Bedrock |
//! | `reply` | whole answers, both ways |
//! | `stream_decode`, `stream_encode` | streamed answers, both ways |
//! | `tap`, `facts` | what the ledger reads of an answer that is only relayed |
//! | `usage` | Bedrock's token counts and our disjoint classes |
//! | `error` | errors as AWS's clients expect them |

pub(crate) mod content;
pub(crate) mod error;
pub(crate) mod facts;
pub(crate) mod peek;
pub(crate) mod reply;
pub(crate) mod request;
pub mod stream_decode;
pub mod stream_encode;
pub mod tap;
pub(crate) mod usage;

use crate::chat::FinishReason;
use crate::error::UpstreamFault;
use crate::event_stream::Frame;

/// What a frame of a stream is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sort<'a> {
    /// An event, by its name.
    Event(&'a str),
    /// The end of a stream that failed.
    Fault(UpstreamFault),
    /// A kind that nobody knows.
    Unknown,
}

impl<'a> Sort<'a> {
    pub(crate) fn of(frame: &Frame<'a>) -> Self {
        let header = |name| frame.header(name);
        match header(":message-type") {
            Some("event") => header(":event-type").map_or(Self::Unknown, Self::Event),
            Some("exception") => {
                let fault = facts::fault(frame.payload).unwrap_or_default();
                let kind = header(":exception-type").map(str::to_owned).or(fault.kind);
                Self::Fault(UpstreamFault { kind, ..fault })
            }
            Some("error") => Self::Fault(UpstreamFault {
                message: header(":error-message").unwrap_or_default().to_owned(),
                kind: header(":error-code").map(str::to_owned),
                code: None,
            }),
            _ => Self::Unknown,
        }
    }
}

impl FinishReason {
    /// From Bedrock's word.
    pub(crate) fn from_bedrock(word: &str) -> Self {
        match word {
            "end_turn" => Self::Stop,
            "stop_sequence" => Self::StopSequence(None),
            "max_tokens" => Self::Length,
            "model_context_window_exceeded" => Self::ContextWindow,
            "tool_use" => Self::ToolCalls,
            "content_filtered" => Self::ContentFilter,
            "guardrail_intervened" => Self::Guardrail,
            "malformed_tool_use" => Self::MalformedToolCall,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Bedrock's word. Its clients know no others, so a vendor's own word becomes `end_turn`.
    pub(crate) fn to_bedrock(&self) -> &'static str {
        match self {
            Self::Other(word) if word == "malformed_model_output" => "malformed_model_output",
            Self::Stop | Self::Paused | Self::Other(_) => "end_turn",
            Self::StopSequence(_) => "stop_sequence",
            Self::Length => "max_tokens",
            Self::ContextWindow => "model_context_window_exceeded",
            Self::ToolCalls => "tool_use",
            Self::ContentFilter | Self::Refusal => "content_filtered",
            Self::Guardrail => "guardrail_intervened",
            Self::MalformedToolCall => "malformed_tool_use",
        }
    }
}

/// Whether a model is Anthropic's, by its id (`us.anthropic.claude-…`, `…:foundation-model/anthropic.claude-…`).
fn is_claude(model: &str) -> bool {
    model.contains("anthropic.")
}

/// A service tier in Bedrock's words. None where Bedrock has none.
fn service_tier(word: &str) -> Option<&'static str> {
    match word {
        "default" | "standard" | "standard_only" => Some("default"),
        "priority" => Some("priority"),
        "flex" => Some("flex"),
        "reserved" => Some("reserved"),
        _ => None,
    }
}
