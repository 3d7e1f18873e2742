//! OpenAI Chat Completions (`POST /v1/chat/completions`), after OpenAI's API reference, with the habits of the
//! vendors and servers that speak it: Azure OpenAI, vLLM, Ollama, `DeepSeek`, Mistral, Gemini's compatible endpoint.
//!
//! | file | work |
//! |---|---|
//! | `peek` | what the relay must know of a request |
//! | `quirks` | what a generation of OpenAI's models takes |
//! | `request/decode`, `messages`, `order` | a client's request into the canonical model |
//! | `request/encode` | the canonical model into a request for a vendor |
//! | `reply` | whole answers, both ways |
//! | `stream_decode`, `stream_encode` | streamed answers, both ways |
//! | `details` | signed and hidden reasoning, for which this wire has no word of its own |
//! | `tap`, `facts` | what the ledger reads of an answer that is only relayed |
//! | `usage` | OpenAI's overlapping token counts and our disjoint classes |
//! | `error` | errors as OpenAI's clients expect them |

pub(crate) mod details;
pub(crate) mod error;
pub(crate) mod facts;
pub(crate) mod peek;
pub(crate) mod quirks;
pub(crate) mod reply;
pub(crate) mod request;
pub mod stream_decode;
pub mod stream_encode;
pub mod tap;
pub(crate) mod usage;

use crate::chat::FinishReason;

/// A choice's number: its index, or its place where a vendor writes none.
fn choice_number(index: Option<u32>, place: usize) -> u32 {
    index.unwrap_or_else(|| u32::try_from(place).unwrap_or(u32::MAX))
}

impl FinishReason {
    /// From OpenAI's word, or a vendor's.
    pub(crate) fn from_openai(word: &str) -> Self {
        match word {
            "stop" | "eos" | "end_turn" => Self::Stop,
            "length" | "max_tokens" | "model_length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.to_owned()),
        }
    }

    /// OpenAI's word. Its clients know no others, so a vendor's own word becomes `stop`.
    /// A word for it, whichever wire it came by: OpenAI's, or the vendor's own where there is no other.
    pub fn word(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => known.to_openai(),
        }
    }

    pub(crate) fn to_openai(&self) -> &'static str {
        match self {
            Self::Stop | Self::StopSequence(_) | Self::Paused | Self::MalformedToolCall | Self::Other(_) => {
                "stop"
            }
            Self::Length | Self::ContextWindow => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter | Self::Refusal | Self::Guardrail => "content_filter",
        }
    }
}
