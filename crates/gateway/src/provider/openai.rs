//! OpenAI's wire over HTTP, for OpenAI itself and for whatever speaks the same.
//!
//! Sources: OpenAI's API reference (authentication, error codes, rate limits) and the retry rules of its SDKs.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use steelyard_billing::PriceList;
use steelyard_dialect::Dialect;

use crate::call::Endpoint;
use crate::client::HttpClient;
use crate::provider::endpoint::Parts;
use crate::provider::retry::retry_after;
use crate::provider::{ChannelError, Failure, GLOBAL, Outgoing};
use crate::spec::{ChannelSpec, ProviderKind, Secrets};

const OPENAI: &str = "https://api.openai.com/v1";

/// Where calls to this address of `OpenAI`'s are served ("Data residency": `eu.api.openai.com`, also `mtls-eu`). What is
/// printed with one price costs that everywhere: regional processing is dearer for newer models alone.
pub(super) fn geo<'a>(base: Option<&'a str>, prices: &PriceList) -> &'a str {
    let host = base.and_then(|base| base.split_once("://")).map_or("", |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let label =
        host.strip_suffix(".api.openai.com").map(|label| label.strip_prefix("mtls-").unwrap_or(label));
    let differs = || prices.versions().any(|version| version.geos().len() > 1);
    label.filter(|label| *label != "mtls" && differs()).unwrap_or(GLOBAL)
}

/// An account at OpenAI or at a server that speaks its wire.
pub struct OpenAi {
    chat: Uri,
    /// None: it speaks Chat Completions alone.
    responses: Option<Uri>,
    embeddings: Uri,
    headers: HeaderMap,
    client: HttpClient,
    compatible: bool,
}

impl std::fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAi").field("chat", &self.chat).finish_non_exhaustive()
    }
}

impl OpenAi {
    pub(crate) fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let parts = Parts::new(spec, secrets);
        let base = match (&spec.base_url, spec.provider) {
            (Some(base), _) => base.as_str(),
            (None, ProviderKind::Openai) => OPENAI,
            (None, _) => {
                let problem = "is missing: give the URL up to and without /chat/completions";
                return Err(parts.wrong("base_url", "", problem));
            }
        };
        let chat = parts.url(base, "/chat/completions")?;
        let speaks_responses = spec.provider == ProviderKind::Openai || spec.responses;
        let responses = speaks_responses.then(|| parts.url(base, "/responses")).transpose()?;
        let embeddings = parts.url(base, "/embeddings")?;
        let mut headers = parts.headers();
        if let Some(key) = parts.api_key()? {
            headers.insert(AUTHORIZATION, parts.secret("Bearer ", &key)?);
        }
        let named = [("openai-organization", &spec.organization), ("openai-project", &spec.project)];
        for (name, value) in named {
            if let Some(value) = value {
                headers.insert(name, parts.value("organization or project", value)?);
            }
        }
        parts.add_own(&mut headers)?;
        let client = parts.client(&chat)?;
        let compatible = spec.provider == ProviderKind::Compatible;
        Ok(Self { chat, responses, embeddings, headers, client, compatible })
    }

    pub(crate) fn request(&self, outgoing: Outgoing<'_>) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = match outgoing.endpoint {
            Endpoint::Embeddings => self.embeddings.clone(),
            Endpoint::Chat | Endpoint::CountTokens => match (&self.responses, outgoing.wire) {
                (Some(responses), Dialect::OpenAiResponses) => responses.clone(),
                _ => self.chat.clone(),
            },
        };
        *request.headers_mut() = self.headers.clone();
        request
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }

    pub(crate) fn speaks_responses(&self) -> bool {
        self.responses.is_some()
    }

    pub(crate) fn is_compatible(&self) -> bool {
        self.compatible
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
        408 | 504 => Failure::TimedOut(retry_after(headers)),
        503 | 529 => Failure::Overloaded(retry_after(headers)),
        409 | 500..=599 => Failure::Passing(retry_after(headers)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_taken_as_openai_means_them() {
        let none = HeaderMap::new();
        let cases: &[(u16, &str, Failure)] = &[
            (400, "", Failure::Caller),
            (302, "", Failure::Redirect),
            (401, "", Failure::Credentials),
            (403, "", Failure::Credentials),
            (404, "", Failure::NoModel),
            (408, "", Failure::TimedOut(None)),
            (409, "", Failure::Passing(None)),
            (413, "", Failure::Caller),
            (422, "", Failure::Caller),
            (429, "", Failure::RateLimited(None)),
            (429, r#"{"error":{"code":"insufficient_quota"}}"#, Failure::Credentials),
            (429, r#"{"error":{"type":"insufficient_quota","code":null}}"#, Failure::Credentials),
            (500, "", Failure::Passing(None)),
            (502, "", Failure::Passing(None)),
            (503, "", Failure::Overloaded(None)),
            (504, "", Failure::TimedOut(None)),
            (529, "", Failure::Overloaded(None)),
        ];
        for (status, body, failure) in cases {
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(classify(status, &none, body.as_bytes()), *failure, "{status} {body}");
        }
    }
}
