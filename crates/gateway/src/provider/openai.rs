//! OpenAI's wire over HTTP, for OpenAI itself and for whatever speaks the same.
//!
//! Sources: OpenAI's API reference (authentication, error codes, rate limits) and the retry rules of its SDKs.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::call::Endpoint;
use crate::client::{self, HttpClient};
use crate::provider::{ChannelError, Failure};
use crate::spec::{ChannelSpec, ProviderKind};

const OPENAI: &str = "https://api.openai.com/v1";

/// An account at OpenAI or at a server that speaks its wire.
pub struct OpenAi {
    chat: Uri,
    embeddings: Uri,
    headers: HeaderMap,
    client: HttpClient,
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").field("chat", &self.chat).finish_non_exhaustive()
    }
}

impl OpenAi {
    pub(crate) fn build(spec: &ChannelSpec) -> Result<Self, ChannelError> {
        let wrong = |field, value: &str, problem| ChannelError::Field {
            channel: spec.name.clone(),
            field,
            value: value.to_owned(),
            problem,
        };
        let base = match (&spec.base_url, spec.provider) {
            (Some(base), _) => base.as_str(),
            (None, ProviderKind::Openai) => OPENAI,
            (None, _) => {
                return Err(wrong(
                    "base_url",
                    "",
                    "is missing: give the URL up to and without /chat/completions",
                ));
            }
        };
        let path = |path: &str| {
            let url = format!("{}{path}", base.trim_end_matches('/'));
            url.parse::<Uri>()
                .ok()
                .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
                .ok_or_else(|| wrong("base_url", base, "is not a URL that begins with http:// or https://"))
        };
        let chat = path("/chat/completions")?;
        let embeddings = path("/embeddings")?;

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // The relay forwards frames as they are, so they must not be compressed.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("steelyard/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = &spec.api_key {
            let key = key
                .resolve()
                .map_err(|source| ChannelError::Secret { channel: spec.name.clone(), source })?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| wrong("api_key", "", "holds characters that no header can carry"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let named = [("openai-organization", &spec.organization), ("openai-project", &spec.project)];
        for (name, value) in named {
            if let Some(value) = value {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| wrong("organization or project", value, "cannot be sent as a header"))?;
                headers.insert(name, value);
            }
        }
        for (name, value) in &spec.headers {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| wrong("headers", name, "is not a header name"))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| wrong("headers", name, "has a value that no header can carry"))?;
            headers.insert(header, value);
        }

        let tls = chat.scheme_str() == Some("https");
        let client = client::build(tls, spec.ca_file.as_deref(), spec.timeouts.connect.0)
            .map_err(|source| ChannelError::Client { channel: spec.name.clone(), source })?;
        Ok(Self { chat, embeddings, headers, client })
    }

    pub(crate) fn request(&self, endpoint: Endpoint, body: Bytes) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match endpoint {
            Endpoint::Chat => self.chat.clone(),
            Endpoint::Embeddings => self.embeddings.clone(),
        };
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }
}

/// What OpenAI's wire says by an error status.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    match status.as_u16() {
        300..=399 => Failure::Redirect,
        401 | 403 => Failure::Credentials,
        404 => Failure::NoModel,
        429 if is_out_of_money(body) => Failure::Credentials,
        429 => Failure::RateLimited(retry_after(headers)),
        408 | 409 | 500..=599 => Failure::Passing(retry_after(headers)),
        _ => Failure::Caller,
    }
}

/// A 429 that no waiting mends: the account's own quota or billing limit.
fn is_out_of_money(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Envelope {
        error: Detail,
    }
    #[derive(Deserialize)]
    struct Detail {
        code: Option<String>,
        r#type: Option<String>,
    }
    let Ok(Envelope { error }) = serde_json::from_slice(body) else { return false };
    [error.code, error.r#type].into_iter().flatten().any(|word| {
        matches!(word.as_str(), "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active")
    })
}

/// When the vendor wishes to be asked again: `retry-after-ms`, else `retry-after` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let seconds =
        |text: &str| text.trim().parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    if let Some(wait) = text(HeaderName::from_static("retry-after-ms")).and_then(seconds) {
        return Some(wait / 1000);
    }
    let value = text(RETRY_AFTER)?;
    seconds(value).or_else(|| {
        // The wait is reckoned from the vendor's own Date, so that a skewed clock here does not matter.
        let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        let now = jiff::fmt::rfc2822::parse(text(http::header::DATE)?).ok()?.timestamp();
        Duration::try_from(at.duration_since(now)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn statuses_are_taken_as_openai_means_them() {
        let none = HeaderMap::new();
        let cases: &[(u16, &str, Failure)] = &[
            (400, "", Failure::Caller),
            (302, "", Failure::Redirect),
            (401, "", Failure::Credentials),
            (403, "", Failure::Credentials),
            (404, "", Failure::NoModel),
            (408, "", Failure::Passing(None)),
            (409, "", Failure::Passing(None)),
            (413, "", Failure::Caller),
            (422, "", Failure::Caller),
            (429, "", Failure::RateLimited(None)),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, Failure::Credentials),
            (429, r#"{"error":{"type":"insufficient_quota","code":null}}"#, Failure::Credentials),
            (500, "", Failure::Passing(None)),
            (503, "", Failure::Passing(None)),
            (529, "", Failure::Passing(None)),
        ];
        for (status, body, failure) in cases {
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(classify(status, &none, body.as_bytes()), *failure, "{status} {body}");
        }
    }

    type Case = (&'static [(&'static str, &'static str)], Option<Duration>);

    #[test]
    fn every_form_of_retry_after_is_understood() {
        let seconds = Duration::from_secs;
        let cases: &[Case] = &[
            (&[], None),
            (&[("retry-after", "7")], Some(seconds(7))),
            (&[("retry-after", "0.5")], Some(Duration::from_millis(500))),
            (&[("retry-after", "7"), ("retry-after-ms", "250")], Some(Duration::from_millis(250))),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (
                &[
                    ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"),
                    ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ],
                Some(seconds(30)),
            ),
        ];
        for (pairs, wait) in cases {
            let map = pairs
                .iter()
                .map(|(n, v)| {
                    (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())
                })
                .collect();
            assert_eq!(retry_after(&map), *wait, "{pairs:?}");
        }
        assert_eq!(retry_after(&headers(&[("retry-after", "3")])), Some(seconds(3)));
    }
}
