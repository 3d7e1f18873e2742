//! Gemini's `generateContent` and `streamGenerateContent` (`POST /v1beta/models/{model}:generateContent`), after Google's
//! API reference of the Gemini API (`v1beta`), the types of its SDKs and bodies captured from them.
//!
//! The model and the operation stand in the path; the body has neither. Members may be written in camel case or in snake
//! case, and clients mix both in one body. A stream is server-sent events with `alt=sse` ([`Framing::Events`]), else one
//! JSON array that grows ([`Framing::Array`]); each event or element is an answer like a whole one. Nothing marks the end
//! of a stream: it is complete if it closes after every answer has its finish reason.
//!
//! | file | work |
//! |---|---|
//! | `members` | objects whose members have two names |
//! | `peek` | what the relay must know of a request |
//! | `content/decode`, `content/encode` | parts of content, both ways, of requests and answers |
//! | `request/decode`, `config`, `tools`, `order` | a client's request into the canonical model |
//! | `request/encode`, `turns`, `thinking`, `definitions`, `losses` | the canonical model into a request for Gemini |
//! | `quirks` | what a generation of Gemini takes |
//! | `schema` | Google's own form of a schema into JSON Schema |
//! | `reply`, `candidate` | whole answers, both ways; what stands beside their content |
//! | `stream_decode`, `stream_encode`, `elements` | streamed answers, both ways |
//! | `tap`, `facts` | what the ledger reads of an answer that is only relayed |
//! | `usage` | Gemini's token counts and our disjoint classes |
//! | `error` | errors as Google's clients expect them |

pub(crate) mod candidate;
pub(crate) mod content;
mod elements;
pub(crate) mod error;
pub(crate) mod facts;
mod members;
pub(crate) mod peek;
mod quirks;
pub(crate) mod reply;
pub(crate) mod request;
mod schema;
pub mod stream_decode;
pub mod stream_encode;
pub mod tap;
pub(crate) mod usage;

use crate::chat::FinishReason;

/// How the answers of a stream follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events.
    Events,
    /// Elements of one array.
    Array,
}

impl FinishReason {
    /// From Gemini's word.
    pub(crate) fn from_gemini(word: &str) -> Self {
        match word {
            "STOP" | "FINISH_REASON_UNSPECIFIED" => Self::Stop,
            "MAX_TOKENS" => Self::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => Self::ContentFilter,
            "MALFORMED_FUNCTION_CALL" => Self::MalformedToolCall,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Gemini's word. A turn that calls tools stops like any other. Clients know no words of other vendors, so these
    /// become `STOP`.
    pub(crate) fn to_gemini(&self) -> &'static str {
        match self {
            Self::Stop | Self::StopSequence(_) | Self::ToolCalls | Self::Paused => "STOP",
            Self::Length | Self::ContextWindow => "MAX_TOKENS",
            Self::ContentFilter | Self::Refusal | Self::Guardrail => "SAFETY",
            Self::MalformedToolCall => "MALFORMED_FUNCTION_CALL",
            Self::Other(word) => OTHERS.into_iter().find(|known| known == word).unwrap_or("STOP"),
        }
    }
}

/// Words of Gemini's that mean nothing to other wires.
const OTHERS: [&str; 8] = [
    "OTHER",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
    "NO_IMAGE",
    "IMAGE_OTHER",
    "ESCALATION",
];

/// A service tier in Gemini's words. None where Gemini has none.
fn service_tier(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "default" | "standard" | "standard_only" => Some("standard"),
        "priority" => Some("priority"),
        "flex" => Some("flex"),
        _ => None,
    }
}
