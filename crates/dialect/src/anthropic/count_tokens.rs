//! `POST /v1/messages/count_tokens`: how many tokens a request would have, without an answer.
//!
//! The body is that of a call without `max_tokens` (Anthropic's API reference, "Count tokens in a Message").

use bytes::Bytes;
use steelyard_core::ApiError;

use crate::anthropic::request::decode;
use crate::chat::ChatRequest;
use crate::json::Object;
use crate::peek::Outside;

/// The request whose tokens are to be counted. Errors are the caller's and name the field at fault.
pub fn decode_request(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    decode::decode_to_count(body, outside)
}

/// The answer: `{"input_tokens":N}`.
pub fn reply(input_tokens: u64) -> Bytes {
    let mut out = Vec::with_capacity(32);
    Object::write(&mut out, |body| body.field("input_tokens", &input_tokens));
    Bytes::from(out)
}
