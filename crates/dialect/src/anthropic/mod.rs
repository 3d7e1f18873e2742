//! Anthropic Messages (`POST /v1/messages`), after Anthropic's API reference and the types of its SDKs, in both live
//! versions of the wire (`2023-06-01`, `2026-10-21`).
//!
//! | file | work |
//! |---|---|
//! | `peek` | what the relay must know of a request |
//! | `request/decode`, `messages`, `blocks`, `tools`, `order` | a client's request into the canonical model |
//! | `request/encode`, `turns`, `parts`, `thinking`, `definitions` | the canonical model into a request for a vendor |
//! | `quirks`, `thinking` | what a generation of Claude takes, and how it thinks, on this wire and on Bedrock's |
//! | `count_tokens` | the question how long a request is |
//! | `reply` | whole answers, both ways |
//! | `stream_decode`, `stream_encode` | streamed answers, both ways |
//! | `citation` | sources of a text, both ways |
//! | `tap`, `facts` | what the ledger reads of an answer that is only relayed |
//! | `usage` | Anthropic's token counts and our disjoint classes |
//! | `error` | errors as Anthropic's clients expect them |

pub(crate) mod citation;
pub mod count_tokens;
pub(crate) mod error;
pub(crate) mod facts;
pub(crate) mod peek;
pub(crate) mod quirks;
pub(crate) mod reply;
pub(crate) mod request;
pub mod stream_decode;
pub mod stream_encode;
pub mod tap;
pub(crate) mod thinking;
pub(crate) mod usage;

use crate::chat::FinishReason;

/// The version of the wire that refuses sampling parameters and some content.
pub(crate) const STRICT_VERSION: &str = "2026-10-21";

/// Who carries this wire's bodies and events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Carrier {
    /// Anthropic's API: the body names the model, events are server-sent.
    #[default]
    Api,
    /// Bedrock's `InvokeModel`: the path names the model, an event is a frame.
    Bedrock,
}

impl FinishReason {
    /// From Anthropic's word. `sequence` is the stop text that was met.
    pub(crate) fn from_anthropic(word: &str, sequence: Option<String>) -> Self {
        match word {
            "end_turn" => Self::Stop,
            "stop_sequence" => Self::StopSequence(sequence),
            "max_tokens" => Self::Length,
            "model_context_window_exceeded" => Self::ContextWindow,
            "tool_use" => Self::ToolCalls,
            "refusal" => Self::Refusal,
            "pause_turn" => Self::Paused,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Anthropic's word. Its clients know no others, so a vendor's own word becomes `end_turn`.
    pub(crate) fn to_anthropic(&self) -> &'static str {
        match self {
            Self::Stop | Self::MalformedToolCall | Self::Other(_) => "end_turn",
            Self::StopSequence(_) => "stop_sequence",
            Self::Length => "max_tokens",
            Self::ContextWindow => "model_context_window_exceeded",
            Self::ToolCalls => "tool_use",
            Self::ContentFilter | Self::Refusal | Self::Guardrail => "refusal",
            Self::Paused => "pause_turn",
        }
    }
}
