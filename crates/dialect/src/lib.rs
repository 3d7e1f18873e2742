//! Wire dialects, and the canonical chat model between them.
//!
//! Owns: what a client or a vendor writes on the wire, both directions, whole and streamed; the canonical
//! [`chat`] model and its [`event`]s; the tools of the relay: [`Peek`], [`splice`], [`sse`] and the
//! [`StreamTap`]; how each wire's usage becomes disjoint [`Usage`](steelyard_core::Usage) and how an
//! [`ApiError`](steelyard_core::ApiError) looks to a client; whether an AWS client [signed](sigv4) its request.
//! Must never: do IO, know a route, a price or a channel, keep a credential, or lose a field without a [`Loss`].
//! Start reading at [`Dialect`]: every method names the file that does the work. One folder is one dialect.
#![warn(missing_docs)]

pub mod anthropic;
pub mod bedrock;
pub mod bedrock_invoke;
pub mod chat;
mod dialect;
mod error;
pub mod event;
pub mod event_stream;
mod facts;
mod framing;
pub mod gemini;
mod inline;
pub mod json;
mod loss;
mod media;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
pub mod peek;
mod places;
mod reasoning;
pub mod sigv4;
pub mod splice;
pub mod sse;
mod tap;
mod tool_names;

pub use chat::{ChatRequest, ChatResponse};
pub use dialect::{Dialect, ReplyContext, StreamDecoder, StreamEncoder, Target};
pub use error::{UpstreamFault, WireError};
pub use event::StreamEvent;
pub use facts::{ReplyFacts, StreamFacts, count_tokens};
pub use inline::{Inline, PICTURE_TOKENS};
pub use json::Json;
pub use loss::{Loss, LossKind, accept};
pub use openai_embeddings::{EmbeddingsPeek, embeddings_usage, peek_embeddings};
pub use openai_responses::Echo;
pub use openai_responses::state::Kept;
pub use peek::{InputBound, ModelAt, Outside, Peek};
pub use places::Places;
pub use splice::{InjectUsage, relay_body};
pub use tap::{StreamTap, TapEnd};
pub use tool_names::ToolNames;
