//! Amazon Bedrock's runtime over HTTP: Converse and `ConverseStream`, signed or with an API key.
//!
//! Sources: the service model `bedrock-runtime` 2023-09-30 and AWS's "Signature Version 4" in the IAM user guide. AWS's
//! own signer signs, and AWS's own chain finds credentials where the channel names none.

mod credentials;
pub(super) mod place;

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use steelyard_core::Timestamp;
use steelyard_dialect::Dialect;

use crate::client::HttpClient;
use crate::provider::bedrock::credentials::Source;
use crate::provider::endpoint::{Parts, SEGMENT};
use crate::provider::retry::retry_after;
use crate::provider::{ChannelError, Failure, Outgoing};
use crate::spec::{ChannelSpec, Secrets};

/// An account at Bedrock, in one region.
pub struct Bedrock {
    base: String,
    region: String,
    headers: HeaderMap,
    auth: Auth,
    client: HttpClient,
}

enum Auth {
    /// A Bedrock API key.
    Key(HeaderValue),
    /// Credentials that sign.
    Signed(Source),
}

impl std::fmt::Debug for Bedrock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bedrock").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Bedrock {
    pub(crate) fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let parts = Parts::new(spec, secrets);
        let region = spec
            .region
            .clone()
            .ok_or_else(|| parts.wrong("region", "", "is missing: give the AWS region, such as us-east-1"))?;
        let default = format!("https://bedrock-runtime.{region}.amazonaws.com");
        let base = spec.base_url.clone().unwrap_or(default).trim_end_matches('/').to_owned();
        let address = parts.url(&base, "/model")?;
        let auth = match (parts.api_key()?, &spec.credentials) {
            (Some(_), Some(_)) => {
                let problem = "and api_key cannot both be given: keep one";
                return Err(parts.wrong("credentials", "", problem));
            }
            (Some(key), None) => Auth::Key(parts.secret("Bearer ", &key)?),
            (None, Some(given)) => Auth::Signed(Source::given(&parts, given)?),
            (None, None) => Auth::Signed(Source::chain(&region)),
        };
        let mut headers = parts.headers();
        parts.add_own(&mut headers)?;
        let client = parts.client(&address)?;
        Ok(Self { base, region, headers, auth, client })
    }

    /// The request, signed. Text: why it could not be.
    pub(crate) async fn request(
        &self,
        outgoing: Outgoing<'_>,
        now: Timestamp,
    ) -> Result<http::Request<Full<Bytes>>, String> {
        let operation = if outgoing.stream { "converse-stream" } else { "converse" };
        let model = utf8_percent_encode(outgoing.model, SEGMENT);
        let url = format!("{}/model/{model}/{operation}", self.base);
        let uri: Uri = url.parse().map_err(|error| format!("the address {url} cannot be used: {error}"))?;
        let mut headers = self.headers.clone();
        match &self.auth {
            Auth::Key(key) => {
                headers.insert(AUTHORIZATION, key.clone());
            }
            Auth::Signed(source) => {
                let credentials = source.credentials(now).await?;
                let signed = self.sign(&credentials, &uri, &outgoing.body, now)?;
                headers.extend(signed);
            }
        }
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The headers of a signature over host, date, type and body.
    fn sign(
        &self,
        credentials: &Credentials,
        uri: &Uri,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let failed = |error: &dyn std::error::Error| format!("the request cannot be signed: {error}");
        let identity = credentials.clone().into();
        let micros = u64::try_from(now.0).unwrap_or_default();
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("bedrock")
            .time(SystemTime::UNIX_EPOCH + Duration::from_micros(micros))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| failed(&error))?
            .into();
        let uri = uri.to_string();
        let kind = std::iter::once(("content-type", "application/json"));
        let signable = SignableRequest::new("POST", &uri, kind, SignableBody::Bytes(body))
            .map_err(|error| failed(&error))?;
        let (instructions, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
        instructions
            .headers()
            .map(|(name, value)| {
                let name = HeaderName::try_from(name).map_err(|error| failed(&error))?;
                let mut value = HeaderValue::try_from(value).map_err(|error| failed(&error))?;
                value.set_sensitive(true);
                Ok((name, value))
            })
            .collect()
    }

    /// The vendor has refused what lets in and was at hand at `since`: whether something else is to be had.
    pub(crate) async fn renew(&self, since: Instant) -> bool {
        match &self.auth {
            Auth::Signed(source) => source.renew(since).await,
            Auth::Key(_) => false,
        }
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }
}

/// What Bedrock says by an error: by its name where it gives one, else by the status.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let fault = Dialect::BedrockConverse.vendor_fault(headers, body).unwrap_or_default();
    match (fault.kind.as_deref().unwrap_or_default(), status.as_u16()) {
        (_, 300..=399) => Failure::Redirect,
        ("ThrottlingException" | "TooManyRequestsException" | "ServiceQuotaExceededException", _) => {
            Failure::RateLimited(retry_after(headers))
        }
        ("ResourceNotFoundException", _) => Failure::NoModel,
        ("ModelTimeoutException", _) | (_, 408 | 504) => Failure::TimedOut(retry_after(headers)),
        ("ModelNotReadyException" | "ServiceUnavailableException", _) => {
            Failure::Overloaded(retry_after(headers))
        }
        ("ModelErrorException" | "ModelStreamErrorException" | "InternalServerException", _) => {
            Failure::Passing(retry_after(headers))
        }
        // Bedrock answers a model that it does not have with this text.
        ("ValidationException", _) if fault.message.contains("model identifier is invalid") => {
            Failure::NoModel
        }
        (_, 401 | 403) => Failure::Credentials,
        (_, 404) => Failure::NoModel,
        (_, 429) => Failure::RateLimited(retry_after(headers)),
        (_, 503 | 529) => Failure::Overloaded(retry_after(headers)),
        (_, 409 | 424 | 500..=599) => Failure::Passing(retry_after(headers)),
        _ => Failure::Caller,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_taken_by_their_name() {
        let cases: &[(u16, &str, &str, Failure)] = &[
            (400, "ValidationException", "{}", Failure::Caller),
            (
                400,
                "ValidationException:http://internal.amazon.com/",
                r#"{"message":"The provided model identifier is invalid."}"#,
                Failure::NoModel,
            ),
            (403, "AccessDeniedException", "{}", Failure::Credentials),
            (403, "UnrecognizedClientException", "{}", Failure::Credentials),
            (404, "ResourceNotFoundException", "{}", Failure::NoModel),
            (408, "ModelTimeoutException", "{}", Failure::TimedOut(None)),
            (424, "ModelErrorException", "{}", Failure::Passing(None)),
            (429, "ThrottlingException", "{}", Failure::RateLimited(None)),
            (
                400,
                "",
                r#"{"__type":"com.amazon#ThrottlingException","message":"slow"}"#,
                Failure::RateLimited(None),
            ),
            (500, "InternalServerException", "{}", Failure::Passing(None)),
            (429, "ModelNotReadyException", "{}", Failure::Overloaded(None)),
            (503, "", "", Failure::Overloaded(None)),
            (529, "", "", Failure::Overloaded(None)),
            (504, "", "", Failure::TimedOut(None)),
            (302, "", "", Failure::Redirect),
        ];
        for (status, name, body, failure) in cases {
            let mut headers = HeaderMap::new();
            if !name.is_empty() {
                headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
            }
            let status = StatusCode::from_u16(*status).unwrap();
            assert_eq!(classify(status, &headers, body.as_bytes()), *failure, "{status} {name} {body}");
        }
    }

    #[test]
    fn a_models_name_is_one_segment_of_the_path() {
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.x-v1:0";
        assert_eq!(
            utf8_percent_encode(arn, SEGMENT).to_string(),
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x-v1%3A0"
        );
    }
}
