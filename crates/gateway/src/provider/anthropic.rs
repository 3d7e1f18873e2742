//! Anthropic's own API over HTTP.
//!
//! Sources: Anthropic's API reference (versioning, errors, rate limits) and the retry rules of its SDKs. Requests
//! that Steelyard writes itself use the version `2023-06-01`, in which sampling parameters are still taken; a relayed
//! call keeps the version and the betas of its client.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use steelyard_dialect::Dialect;

use crate::call::Endpoint;
use crate::client::HttpClient;
use crate::provider::endpoint::Parts;
use crate::provider::retry::retry_after;
use crate::provider::{ChannelError, Failure, Outgoing};
use crate::spec::{ChannelSpec, Secrets};

const ANTHROPIC: &str = "https://api.anthropic.com";
const VERSION: &str = "anthropic-version";
const OUR_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// An account at Anthropic.
pub struct Anthropic {
    messages: Uri,
    count_tokens: Uri,
    headers: HeaderMap,
    client: HttpClient,
}

impl std::fmt::Debug for Anthropic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Anthropic").field("messages", &self.messages).finish_non_exhaustive()
    }
}

impl Anthropic {
    pub(crate) fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let parts = Parts::new(spec, secrets);
        // With or without the version in its path: both are written in the wild.
        let base = spec.base_url.as_deref().unwrap_or(ANTHROPIC).trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let messages = parts.url(base, "/v1/messages")?;
        let count_tokens = parts.url(base, "/v1/messages/count_tokens")?;
        let mut headers = parts.headers();
        headers.insert(VERSION, OUR_VERSION);
        if let Some(key) = parts.api_key()? {
            headers.insert("x-api-key", parts.secret("", &key)?);
        }
        parts.add_own(&mut headers)?;
        // An account that authenticates by token is given one as a header of its own.
        if headers.contains_key(AUTHORIZATION) {
            headers.remove("x-api-key");
        }
        let client = parts.client(&messages)?;
        Ok(Self { messages, count_tokens, headers, client })
    }

    pub(crate) fn request(&self, outgoing: Outgoing<'_>) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match outgoing.endpoint {
            Endpoint::CountTokens => self.count_tokens.clone(),
            Endpoint::Chat | Endpoint::Embeddings => self.messages.clone(),
        };
        *request.headers_mut() = self.headers.clone();
        for (name, value) in outgoing.headers {
            request.headers_mut().insert(name, value.clone());
        }
        request
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }
}

/// What Anthropic's wire says by an error status.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    match status.as_u16() {
        300..=399 => Failure::Redirect,
        // 402: the account cannot pay.
        401..=403 => Failure::Credentials,
        400 if is_out_of_money(body) => Failure::Credentials,
        404 => Failure::NoModel,
        429 => Failure::RateLimited(retry_after(headers)),
        408 | 504 => Failure::TimedOut(retry_after(headers)),
        503 | 529 => Failure::Overloaded(retry_after(headers)),
        409 | 500..=599 => Failure::Passing(retry_after(headers)),
        _ => Failure::Caller,
    }
}

/// Anthropic answers an empty account with 400 and this text.
fn is_out_of_money(body: &[u8]) -> bool {
    Dialect::AnthropicMessages
        .vendor_fault(&HeaderMap::new(), body)
        .is_some_and(|fault| fault.message.contains("credit balance is too low"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_taken_as_anthropic_means_them() {
        let none = HeaderMap::new();
        let poor = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#;
        let cases: &[(u16, &str, Failure)] = &[
            (400, "", Failure::Caller),
            (400, poor, Failure::Credentials),
            (302, "", Failure::Redirect),
            (401, "", Failure::Credentials),
            (402, "", Failure::Credentials),
            (403, "", Failure::Credentials),
            (404, "", Failure::NoModel),
            (413, "", Failure::Caller),
            (429, "", Failure::RateLimited(None)),
            (500, "", Failure::Passing(None)),
            (504, "", Failure::TimedOut(None)),
            (529, "", Failure::Overloaded(None)),
        ];
        for (status, body, failure) in cases {
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(classify(status, &none, body.as_bytes()), *failure, "{status} {body}");
        }
    }
}
