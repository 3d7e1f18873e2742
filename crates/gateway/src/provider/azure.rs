//! Azure OpenAI: OpenAI's wire at addresses of Azure's, with a key in a header of its own.
//!
//! A model is called by the name of its deployment. Azure has two surfaces: the classic one has the deployment in the path and
//! the API version, a date, in the query; `/openai/v1` has neither and reads the deployment from the body's `model`. The
//! channel's `api_version` decides between them.
//!
//! Sources: Microsoft's "Azure OpenAI in Foundry Models REST API reference" (inference 2024-10-21, and v1), its pages on
//! content filtering and on quotas, and the retry rules of OpenAI's SDKs, whose `AzureOpenAI` client calls the same.
//! Instead of a key an application's token of Microsoft Entra lets in.

mod entra;

use std::time::Instant;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use steelyard_core::Timestamp;
use steelyard_dialect::Dialect;

use crate::call::Endpoint;
use crate::client::HttpClient;
use crate::provider::azure::entra::Entra;
use crate::provider::endpoint::{Parts, SEGMENT};
use crate::provider::{ChannelError, Failure, Outgoing, openai};
use crate::spec::{ChannelSpec, Secrets};

/// The first version that takes `stream_options`, without which a stream has no usage: 2024-08-01-preview.
const OLDEST: &str = "2024-08";

/// A resource at Azure.
pub struct Azure {
    surface: Surface,
    headers: HeaderMap,
    /// Who asks for the tokens that let in, where no key does.
    entra: Option<Box<Entra>>,
    client: HttpClient,
}

/// Where the deployments of a resource are called.
#[derive(Debug)]
enum Surface {
    /// Each by its own path: what stands before its name, and the API version.
    Classic { deployments: String, version: String },
    /// All by the same paths.
    V1(Box<Paths>),
}

/// The addresses of the newer surface.
#[derive(Debug)]
struct Paths {
    chat: Uri,
    responses: Uri,
    embeddings: Uri,
}

impl std::fmt::Debug for Azure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Azure").field("surface", &self.surface).finish_non_exhaustive()
    }
}

impl Azure {
    pub(crate) fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let parts = Parts::new(spec, secrets);
        let base = spec.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
        if base.is_empty() {
            let problem =
                "is missing: give the address of the resource, such as https://NAME.openai.azure.com";
            return Err(parts.wrong("base_url", base, problem));
        }
        if base.contains("/openai/deployments") {
            let problem =
                "goes on to a deployment: give the address of the resource, up to and without /openai";
            return Err(parts.wrong("base_url", base, problem));
        }
        // With or without a surface in its path: both are written in the wild.
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let base = base.strip_suffix("/openai").unwrap_or(base);
        let address = parts.url(base, "/openai")?;
        let surface = Surface::of(&parts, base, spec.api_version.as_deref())?;
        let mut headers = parts.headers();
        let key = parts.api_key()?;
        if key.is_some() && spec.entra.is_some() {
            return Err(parts.wrong("entra", "", "and api_key cannot both be given: keep one"));
        }
        if let Some(key) = key {
            headers.insert("api-key", parts.secret("", &key)?);
        }
        let entra = spec.entra.as_ref().map(|entra| Entra::build(&parts, entra).map(Box::new)).transpose()?;
        parts.add_own(&mut headers)?;
        let client = parts.client(&address)?;
        Ok(Self { surface, headers, entra, client })
    }

    /// The request at `now`. Text: why the deployment's name makes no address, or why there is no token.
    pub(crate) async fn request(
        &self,
        outgoing: Outgoing<'_>,
        now: Timestamp,
    ) -> Result<http::Request<Full<Bytes>>, String> {
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.surface.address(outgoing.endpoint, outgoing.wire, outgoing.model)?;
        *request.headers_mut() = self.headers.clone();
        if let Some(entra) = &self.entra {
            request.headers_mut().insert(AUTHORIZATION, entra.token(now).await?);
        }
        Ok(request)
    }

    /// The vendor has refused what lets in and was at hand at `since`: whether something else is to be had.
    pub(crate) async fn renew(&self, since: Instant) -> bool {
        match &self.entra {
            Some(entra) => entra.renew(since).await,
            None => false,
        }
    }

    /// The classic surface has its Responses under versions and a path of its own, and is asked for chats alone.
    pub(crate) fn speaks_responses(&self) -> bool {
        matches!(self.surface, Surface::V1(_))
    }

    pub(crate) fn client(&self) -> &HttpClient {
        &self.client
    }
}

impl Surface {
    /// A date is a version of the classic surface. What else there is (`preview`, `latest`, `v1`) is said to the other.
    fn of(parts: &Parts<'_>, base: &str, version: Option<&str>) -> Result<Self, ChannelError> {
        let version = version.unwrap_or_default();
        if !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            let problem = "is no API version of Azure's: write a date such as 2024-10-21, or leave it out";
            return Err(parts.wrong("api_version", version, problem));
        }
        if version.starts_with(|first: char| first.is_ascii_digit()) {
            if version < OLDEST {
                let problem = "is too old, since it reports no usage in streams: write 2024-10-21 or a later one, or leave it out";
                return Err(parts.wrong("api_version", version, problem));
            }
            let deployments = format!("{base}/openai/deployments");
            return Ok(Self::Classic { deployments, version: version.to_owned() });
        }
        let query = if version.is_empty() { String::new() } else { format!("?api-version={version}") };
        Ok(Self::V1(Box::new(Paths {
            chat: parts.url(base, &format!("/openai/v1/chat/completions{query}"))?,
            responses: parts.url(base, &format!("/openai/v1/responses{query}"))?,
            embeddings: parts.url(base, &format!("/openai/v1/embeddings{query}"))?,
        })))
    }

    fn address(&self, endpoint: Endpoint, wire: Dialect, deployment: &str) -> Result<Uri, String> {
        match (self, endpoint) {
            (Self::V1(paths), Endpoint::Embeddings) => Ok(paths.embeddings.clone()),
            (Self::V1(paths), Endpoint::Chat) if wire == Dialect::OpenAiResponses => {
                Ok(paths.responses.clone())
            }
            (Self::V1(paths), Endpoint::Chat | Endpoint::CountTokens) => Ok(paths.chat.clone()),
            (Self::Classic { deployments, version }, endpoint) => {
                let operation = match endpoint {
                    Endpoint::Embeddings => "embeddings",
                    Endpoint::Chat | Endpoint::CountTokens => "chat/completions",
                };
                let deployment = utf8_percent_encode(deployment, SEGMENT);
                let url = format!("{deployments}/{deployment}/{operation}?api-version={version}");
                url.parse().map_err(|error| format!("the address {url} cannot be used: {error}"))
            }
        }
    }
}

/// What Azure says by an error status: what OpenAI says, and a little more.
pub(crate) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    match status.as_u16() {
        // The subscription cannot pay.
        402 => Failure::Credentials,
        400 if is_of_another_kind(body) => Failure::NoModel,
        _ => openai::classify(status, headers, body),
    }
}

/// A deployment of a model that cannot do what is asked for, such as embeddings: another target may.
fn is_of_another_kind(body: &[u8]) -> bool {
    Dialect::OpenAiChat
        .vendor_fault(&HeaderMap::new(), body)
        .is_some_and(|fault| fault.code.as_deref() == Some("OperationNotSupported"))
}

#[cfg(test)]
mod tests;
