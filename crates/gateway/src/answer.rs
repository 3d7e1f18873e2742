//! A vendor's whole answer, and what of its head is kept.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::HeaderName;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use steelyard_core::ErrorCode;

use crate::account::Passed;
use crate::miss::Miss;
use crate::spec::TimeoutSpec;

/// Collects an answer under a limit of size and the channel's limits of time.
pub(crate) async fn collect(
    mut body: Incoming,
    limit: usize,
    sent: Instant,
    limits: &TimeoutSpec,
) -> Result<Bytes, Miss> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let left = limits.total.0.saturating_sub(sent.elapsed());
        let (name, wait) = if left < limits.idle.0 { ("total", left) } else { ("idle", limits.idle.0) };
        let passed = || Passed { content_bytes: (first.len() + rest.len()) as u64, ..Passed::default() };
        match tokio::time::timeout(wait, body.frame()).await {
            Err(_) => return Err(Miss::Timeout(name, wait)),
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Miss::Broken {
                    code: ErrorCode::UpstreamCut,
                    why: causes(&error),
                    passed: Box::new(passed()),
                });
            }
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if first.len() + rest.len() + data.len() > limit {
                    let why = format!("the answer is larger than {limit} bytes");
                    return Err(Miss::Broken {
                        code: ErrorCode::UpstreamGarbage,
                        why,
                        passed: Box::new(passed()),
                    });
                }
                // Most answers come in one piece, which then is not copied.
                if first.is_empty() {
                    first = data;
                } else {
                    rest.extend_from_slice(&data);
                }
            }
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

/// An error with its causes, for the log.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The vendor's own id of the request.
pub(crate) fn vendor_request_id(headers: &HeaderMap) -> Option<String> {
    let value =
        ["x-request-id", "request-id", "x-amzn-requestid"].iter().find_map(|name| headers.get(*name))?;
    value.to_str().ok().filter(|id| id.len() <= 256).map(str::to_owned)
}

/// The vendor's headers that are the caller's business: rate limits and the vendor's own facts.
pub(crate) fn callers_headers(headers: &HeaderMap) -> HeaderMap {
    let wanted = |name: &HeaderName| {
        let name = name.as_str();
        let wanted = ["x-ratelimit-", "openai-", "anthropic-ratelimit-"];
        wanted.iter().any(|prefix| name.starts_with(prefix)) && name != "openai-organization"
    };
    headers
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
