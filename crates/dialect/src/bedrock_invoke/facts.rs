//! What the ledger reads of an answer that is only relayed, and what the head of an answer says of it.

use http::{HeaderMap, HeaderName, HeaderValue};
use steelyard_core::Usage;

use crate::bedrock::usage::Sums;
use crate::error::WireError;
use crate::facts::ReplyFacts;
use crate::{anthropic, bedrock};

/// Errors: where Bedrock reports one in an answer, it does so in its own shape.
pub(crate) fn of_reply(body: &[u8]) -> Result<ReplyFacts, WireError> {
    anthropic::facts::of_reply(body).map_err(|error| bedrocks(error, body))
}

/// The vendor's error in a body that is no message, if it is one.
pub(crate) fn bedrocks(error: WireError, body: &[u8]) -> WireError {
    match (&error, bedrock::facts::fault(body)) {
        (WireError::Garbage(_), Some(fault)) => WireError::Upstream(fault),
        _ => error,
    }
}

/// The headers of a whole answer (service model, `InvokeModelResponse`).
pub(crate) fn headers(used: &Usage, elapsed_ms: u64) -> HeaderMap {
    let sums = Sums::of(used);
    let figures = [
        ("x-amzn-bedrock-invocation-latency", elapsed_ms),
        ("x-amzn-bedrock-input-token-count", sums.input),
        ("x-amzn-bedrock-output-token-count", sums.output),
        ("x-amzn-bedrock-cache-read-input-token-count", sums.read),
        ("x-amzn-bedrock-cache-write-input-token-count", sums.written()),
    ];
    let figures = figures.map(|(name, figure)| (HeaderName::from_static(name), HeaderValue::from(figure)));
    figures.into_iter().collect()
}
