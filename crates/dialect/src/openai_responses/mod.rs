//! OpenAI Responses (`POST /v1/responses`), after OpenAI's API reference and the types of its SDKs.
//!
//! A conversation is a list of *items*: messages, calls, results, reasoning. What a call goes on from is put into it before it
//! is planned ([`state`]), so a call as it is planned brings all of them, and what must not be lost of another vendor's reasoning rides in `encrypted_content` ([`opaque`]).
//! A vendor that speaks this wire is asked in it by relay, and speaks Chat Completions for everybody else.
//!
//! | file | work |
//! |---|---|
//! | `peek` | what the relay must know of a request, and what is refused because it needs state |
//! | `request/decode`, `items`, `tools`, `order` | a client's request into the canonical model |
//! | `request/encode` | the canonical model into a request |
//! | `echo` | what an answer repeats of its request, and the names of tools in namespaces |
//! | `opaque` | proofs and hidden thoughts of other vendors |
//! | `reply` | whole answers, both ways |
//! | `stream_decode`, `stream_encode` (`messages`), `output` | streamed answers, both ways; the items of an answer |
//! | `tap`, `facts` | what the ledger reads of an answer that is only relayed |
//! | `state` | what is kept between calls, as functions of bytes |
//! | `usage` | OpenAI's overlapping token counts and our disjoint classes |
//! | `error` | errors inside a stream; elsewhere they are those of Chat Completions |

mod echo;
pub(crate) mod error;
pub(crate) mod facts;
mod opaque;
mod output;
pub(crate) mod peek;
pub(crate) mod reply;
pub(crate) mod request;
pub mod state;
pub mod stream_decode;
pub mod stream_encode;
pub mod tap;
pub(crate) mod usage;

use crate::chat::FinishReason;

pub use echo::Echo;
pub(crate) use opaque::relayable;

/// Why an answer is incomplete, in the wire's words.
const CAPPED: &str = "max_output_tokens";
const FILTERED: &str = "content_filter";

impl FinishReason {
    /// From the reason for which an answer is incomplete.
    fn from_responses(reason: &str) -> Self {
        match reason {
            CAPPED => Self::Length,
            FILTERED => Self::ContentFilter,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The reason for which an answer is incomplete; none where it is complete. A refusal that says something is complete.
    fn to_responses(&self, refused: bool) -> Option<&'static str> {
        match self {
            Self::Length | Self::ContextWindow => Some(CAPPED),
            Self::Refusal if refused => None,
            Self::ContentFilter | Self::Guardrail | Self::Refusal => Some(FILTERED),
            Self::Stop
            | Self::StopSequence(_)
            | Self::ToolCalls
            | Self::Paused
            | Self::MalformedToolCall
            | Self::Other(_) => None,
        }
    }
}
