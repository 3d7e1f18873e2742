//! `POST /v1/messages/count_tokens`: how many tokens a request would have, without an answer.
//!
//! The body is that of a call without `max_tokens` (Anthropic's API reference, "Count tokens in a Message").

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::{ApiError, Usage};

use crate::anthropic::request::decode;
use crate::chat::ChatRequest;
use crate::error::WireError;
use crate::facts::ReplyFacts;
use crate::json::{At, Fault, Mapped, Object, utf8};
use crate::openai_chat::facts::fault;
use crate::peek::Outside;

/// The request whose tokens are to be counted. Errors are the caller's and name the field at fault.
pub fn decode_request(body: &[u8], outside: &Outside<'_>) -> Result<ChatRequest, ApiError> {
    decode::decode_to_count(body, outside)
}

/// What the ledger needs of a vendor's answer: nothing was used. What is no count is an error.
pub fn usage(body: &[u8]) -> Result<ReplyFacts, WireError> {
    #[derive(Deserialize)]
    struct Sighting<'a> {
        #[serde(default)]
        input_tokens: Option<u64>,
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
    }
    let Mapped(sighting) = serde_json::from_str::<Mapped<Sighting<'_>>>(utf8(body)?)
        .map_err(|error| Fault::invalid(&At::Root, format!("not a count: {error}")))?;
    if let Some(fault) = sighting.error.and_then(fault) {
        return Err(WireError::Upstream(fault));
    }
    sighting.input_tokens.ok_or_else(|| Fault::missing(&At::Root.field("input_tokens")))?;
    Ok(ReplyFacts { usage: Some(Usage::ZERO), ..ReplyFacts::default() })
}

/// The answer: `{"input_tokens":N}`.
pub fn reply(input_tokens: u64) -> Bytes {
    let mut out = Vec::with_capacity(32);
    Object::write(&mut out, |body| body.field("input_tokens", &input_tokens));
    Bytes::from(out)
}
