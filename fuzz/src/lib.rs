//! What must hold of bytes that strangers wrote. Each function is a fuzz target; `src/bin/plain.rs` runs them all
//! without a fuzzer.

mod event_stream;
mod request;
mod sigv4;
mod stream;

pub use event_stream::event_stream;
pub use request::{anthropic_request, converse, gemini_request, peek, responses_request};
pub use sigv4::sigv4;
pub use stream::{anthropic_stream, gemini_stream, responses_stream, sse};
