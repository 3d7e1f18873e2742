//! The Gemini API over HTTP: `generateContent`, and `streamGenerateContent` as events.
//!
//! Sources: Google's API reference of the Gemini API ("Generating content", "Troubleshooting", "Rate limits") and the
//! error model of its APIs (`google.rpc.Status`, `ErrorInfo`, `RetryInfo`). Streams are always asked for with `alt=sse`;
//! a client that wants an array gets one here.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use crate::client::HttpClient;
use crate::provider::endpoint::{Parts, SEGMENT};
use crate::provider::retry::retry_after;
use crate::provider::{ChannelError, Failure, Outgoing};
use crate::spec::{ChannelSpec, Secrets};

const GEMINI: &str = "https://generativelanguage.googleapis.com";
const KEY: &str = "x-goog-api-key";

/// An account at the Gemini API.
pub struct Gemini {
    /// Up to and with the version.
    base: String,
    headers: HeaderMap,
    client: HttpClient,
}

impl std::fmt::Debug for Gemini {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gemini").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Gemini {
    pub(crate) fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let parts = Parts::new(spec, secrets);
        // With or without the version in its path: both are written in the wild.
        let base = spec.base_url.as_deref().unwrap_or(GEMINI).trim_end_matches('/');
        let base = base.strip_suffix("/v1beta").unwrap_or(base);
        let address = parts.url(base, "/v1beta/models")?;
        let mut headers = parts.headers();
        if let Some(key) = parts.api_key()? {
            headers.insert(KEY, parts.secret("", &key)?);
        }
        parts.add_own(&mut headers)?;
        let client = parts.client(&address)?;
        Ok(Self { base: format!("{base}/v1beta"), headers, client })
    }

    /// Text: why there is none.
    pub(crate) fn request(&self, outgoing: Outgoing<'_>) -> Result<http::Request<Full<Bytes>>, String> {
        let operation = if outgoing.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        // Models of one's own stand beside the published ones.
        let (folder, model) = outgoing
            .model
            .split_once('/')
            .filter(|(folder, _)| matches!(*folder, "models" | "tunedModels"))
            .unwrap_or(("models", outgoing.model));
        let model = utf8_percent_encode(model, SEGMENT);
        let url = format!("{}/{folder}/{model}:{operation}", self.base);
        let uri: Uri = url.parse().map_err(|error| format!("the address {url} cannot be used: {error}"))?;
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        for (name, value) in outgoing.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }
}

/// What the Gemini API says by an error status.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let error = Error::of(body);
    match status.as_u16() {
        300..=399 => Failure::Redirect,
        401..=403 => Failure::Credentials,
        // A key that is wrong is an argument that is wrong; an account that cannot be served (no billing, no such
        // country) fails a precondition.
        400 if error.has_reason("API_KEY_INVALID") || error.status == "FAILED_PRECONDITION" => {
            Failure::Credentials
        }
        404 => Failure::NoModel,
        429 => Failure::RateLimited(retry_after(headers).or(error.retry)),
        408 | 504 => Failure::TimedOut(retry_after(headers).or(error.retry)),
        503 => Failure::Overloaded(retry_after(headers).or(error.retry)),
        409 | 499 | 500..=599 => Failure::Passing(retry_after(headers).or(error.retry)),
        _ => Failure::Caller,
    }
}

/// What is read of an error's body.
#[derive(Default)]
struct Error {
    status: String,
    reasons: Vec<String>,
    retry: Option<Duration>,
}

impl Error {
    fn of(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Where a stream was asked for, the error may stand in an array.
        let error = body.pointer("/error").or_else(|| body.pointer("/0/error"));
        let Some(error) = error else { return Self::default() };
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let seconds = |text: &str| text.strip_suffix('s')?.parse::<f64>().ok();
        Self {
            status: text(&error["status"]).unwrap_or_default(),
            reasons: details.iter().filter_map(|detail| text(&detail["reason"])).collect(),
            retry: details
                .iter()
                .find_map(|detail| seconds(detail["retryDelay"].as_str()?))
                .and_then(|wait| Duration::try_from_secs_f64(wait).ok()),
        }
    }

    fn has_reason(&self, reason: &str) -> bool {
        self.reasons.iter().any(|known| known == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_taken_as_google_means_them() {
        let none = HeaderMap::new();
        let bad_key = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        let no_billing = r#"{"error":{"code":400,"message":"User location is not supported.","status":"FAILED_PRECONDITION"}}"#;
        let slow = r#"[{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}]"#;
        let wrong = r#"{"error":{"code":400,"message":"Invalid value","status":"INVALID_ARGUMENT"}}"#;
        let cases: &[(u16, &str, Failure)] = &[
            (400, wrong, Failure::Caller),
            (400, "", Failure::Caller),
            (400, bad_key, Failure::Credentials),
            (400, no_billing, Failure::Credentials),
            (302, "", Failure::Redirect),
            (401, "", Failure::Credentials),
            (402, "", Failure::Credentials),
            (403, "", Failure::Credentials),
            (404, "", Failure::NoModel),
            (413, "", Failure::Caller),
            (429, "", Failure::RateLimited(None)),
            (429, slow, Failure::RateLimited(Some(Duration::from_millis(34_500)))),
            (499, "", Failure::Passing(None)),
            (500, "", Failure::Passing(None)),
            (503, "<html>", Failure::Overloaded(None)),
            (504, "", Failure::TimedOut(None)),
        ];
        for (status, body, failure) in cases {
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(classify(status, &none, body.as_bytes()), *failure, "{status} {body}");
        }
    }
}
