//! Wire dialects, and the canonical chat model between them.
//!
//! Owns: what a client or a vendor writes on the wire, both directions, whole and streamed; the canonical
//! [`chat`] model and its [`event`]s; the tools of the relay: [`Peek`], [`splice`], [`sse`] and the
//! [`StreamTap`]; how each wire's usage becomes disjoint [`Usage`](steelyard_core::Usage) and how an
//! [`ApiError`](steelyard_core::ApiError) looks to a client.
//! Must never: do IO, know a route, a price, a channel or a credential, or lose a field without a [`Loss`].
//! Start reading at [`Dialect`]: every method names the file that does the work. One folder is one dialect.
#![warn(missing_docs)]

pub mod chat;
mod dialect;
mod error;
pub mod event;
mod facts;
pub mod json;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod peek;
pub mod splice;
pub mod sse;

pub use chat::{ChatRequest, ChatResponse};
pub use dialect::{Dialect, ReplyContext, StreamDecoder, StreamEncoder};
pub use error::{Loss, UpstreamFault, WireError};
pub use event::StreamEvent;
pub use facts::{ReplyFacts, StreamFacts, count_tokens};
pub use json::Json;
pub use openai_chat::tap::StreamTap;
pub use openai_embeddings::{EmbeddingsPeek, embeddings_usage, peek_embeddings};
pub use peek::{InputBound, Peek};
pub use splice::{InjectUsage, relay_body};
