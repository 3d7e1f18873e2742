//! Providers: the wire adapters, and the channels that use them. The only folder that asks which provider it is.

pub mod anthropic;
pub mod azure;
pub mod bedrock;
mod endpoint;
pub mod gemini;
mod kept;
pub mod openai;
mod retry;
pub mod sandbox;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use steelyard_billing::{Catalog, CatalogOffer, PriceList};
use steelyard_core::Timestamp;
use steelyard_dialect::Dialect;

use crate::call::Endpoint;
use crate::client::{ClientError, HttpClient};
use crate::spec::{ChannelSpec, ProviderKind, SecretError, Secrets, TimeoutSpec};

/// The catalog's word for what is served from wherever the vendor likes.
const GLOBAL: &str = "global";

/// A configured account, ready to be called.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// What it was built from.
    pub spec: ChannelSpec,
    /// How it is spoken to.
    pub provider: Provider,
}

/// How a channel is spoken to. A closed set: a new provider leads by compile errors.
#[derive(Debug)]
pub enum Provider {
    /// OpenAI's wire over HTTP: `openai` and `compatible`.
    OpenAi(Box<openai::OpenAi>),
    /// Azure OpenAI: OpenAI's wire at addresses of Azure's.
    Azure(Box<azure::Azure>),
    /// Anthropic's own API.
    Anthropic(Box<anthropic::Anthropic>),
    /// Amazon Bedrock's runtime.
    Bedrock(Box<bedrock::Bedrock>),
    /// Google's Gemini API.
    Gemini(Box<gemini::Gemini>),
    /// The stand-in inside this process.
    Sandbox,
    /// One of the others, of which a secret is not in the vault yet. Its calls fail, and all others are served.
    Locked(ProviderKind, SecretError),
}

/// Why a channel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Its secret cannot be fetched.
    #[error("channel `{channel}`: its {field} cannot be fetched")]
    Secret {
        /// The channel.
        channel: String,
        /// The field.
        field: &'static str,
        /// Why.
        source: SecretError,
    },
    /// A value cannot be used.
    #[error("channel `{channel}`: {field} `{value}` {problem}")]
    Field {
        /// The channel.
        channel: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong, with the remedy.
        problem: &'static str,
    },
    /// Its HTTP client cannot be built.
    #[error("channel `{channel}`: its client cannot be built")]
    Client {
        /// The channel.
        channel: String,
        /// Why.
        source: ClientError,
    },
}

impl Channel {
    /// Builds a channel; its secret is fetched here and nowhere else.
    pub fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        let provider = match Provider::build(spec, secrets) {
            Err(ChannelError::Secret { source: why @ SecretError::NotInVault { .. }, .. }) => {
                Provider::Locked(spec.provider, why)
            }
            built => built?,
        };
        Ok(Self { name: spec.name.as_str().into(), spec: spec.clone(), provider })
    }

    /// The catalog's name for this provider's price list.
    pub fn catalog_name(&self) -> &'static str {
        self.spec.provider.name()
    }

    /// What the catalog says of a model of this account.
    pub fn listed(&self, catalog: &Catalog, upstream_model: &str) -> Option<CatalogOffer> {
        let name = match self.spec.provider {
            ProviderKind::Bedrock => {
                return bedrock::place::listed(catalog, self.catalog_name(), upstream_model);
            }
            ProviderKind::Azure => {
                self.spec.deployments.get(upstream_model).map_or(upstream_model, String::as_str)
            }
            ProviderKind::Openai
            | ProviderKind::Compatible
            | ProviderKind::Anthropic
            | ProviderKind::Gemini
            | ProviderKind::Sandbox => upstream_model,
        };
        catalog.on(self.catalog_name(), name)
    }

    /// Whether the account has what the catalog knows of its provider. Where it names its models itself, these are all.
    pub(crate) fn has_the_catalogs_models(&self) -> bool {
        self.spec.deployments.is_empty()
    }

    /// Where a model of this account is served, for prices that differ by it: as the operator says, else as the model's
    /// name, the region or the address says. An answer may know better.
    pub fn geo(&self, upstream_model: &str, prices: &PriceList) -> Arc<str> {
        if let Some(geo) = &self.spec.geo {
            return geo.as_str().into();
        }
        let region = self.spec.region.as_deref().unwrap_or_default();
        let base = self.spec.base_url.as_deref();
        let geo = match self.spec.provider {
            ProviderKind::Bedrock => bedrock::place::geo(upstream_model, region),
            ProviderKind::Openai => openai::geo(base, prices),
            ProviderKind::Azure
            | ProviderKind::Compatible
            | ProviderKind::Anthropic
            | ProviderKind::Gemini
            | ProviderKind::Sandbox => GLOBAL,
        };
        geo.into()
    }

    /// OpenTelemetry's `gen_ai.provider.name`: the conventions' own where they have one.
    pub fn telemetry_name(&self) -> &'static str {
        match self.spec.provider {
            ProviderKind::Openai => "openai",
            ProviderKind::Azure => "azure.ai.openai",
            ProviderKind::Compatible => "compatible",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Bedrock => "aws.bedrock",
            ProviderKind::Gemini => "gcp.gemini",
            ProviderKind::Sandbox => "sandbox",
        }
    }

    /// The time limits of its attempts.
    pub fn timeouts(&self) -> &TimeoutSpec {
        &self.spec.timeouts
    }
}

/// How a failed attempt is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The vendor cannot serve it now; another target may. With the vendor's own wish when to come again.
    Passing(Option<Duration>),
    /// The vendor has too much to do; another target may serve it. With its wish.
    Overloaded(Option<Duration>),
    /// The vendor gave up for want of time; another target may be quicker. With its wish.
    TimedOut(Option<Duration>),
    /// The vendor limits our rate; another target may serve it.
    RateLimited(Option<Duration>),
    /// The vendor refuses our credentials, or the account cannot pay: ours to mend, not the caller's.
    Credentials,
    /// The vendor has no such model; another target may.
    NoModel,
    /// The vendor sends us elsewhere: the channel's address is wrong, which is ours to mend.
    Redirect,
    /// The request is wrong; no target would take it.
    Caller,
}

impl Failure {
    /// The vendor's own wish when to come again.
    pub(crate) fn wish(&self) -> Option<Duration> {
        match self {
            Self::Passing(wait) | Self::Overloaded(wait) | Self::TimedOut(wait) | Self::RateLimited(wait) => {
                *wait
            }
            Self::Credentials | Self::NoModel | Self::Redirect | Self::Caller => None,
        }
    }
}

/// What is to be sent.
pub(crate) struct Outgoing<'a> {
    /// For what.
    pub(crate) endpoint: Endpoint,
    /// The wire of the body ([`Provider::wire`]).
    pub(crate) wire: Dialect,
    /// The model as the vendor calls it.
    pub(crate) model: &'a str,
    /// Whether a stream is asked for.
    pub(crate) stream: bool,
    /// The headers that belong to the wire: the client's own, or those that its request came to.
    pub(crate) headers: &'a HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Provider {
    fn build(spec: &ChannelSpec, secrets: &Secrets) -> Result<Self, ChannelError> {
        Ok(match spec.provider {
            ProviderKind::Openai | ProviderKind::Compatible => {
                Self::OpenAi(Box::new(openai::OpenAi::build(spec, secrets)?))
            }
            ProviderKind::Azure => Self::Azure(Box::new(azure::Azure::build(spec, secrets)?)),
            ProviderKind::Anthropic => Self::Anthropic(Box::new(anthropic::Anthropic::build(spec, secrets)?)),
            ProviderKind::Bedrock => Self::Bedrock(Box::new(bedrock::Bedrock::build(spec, secrets)?)),
            ProviderKind::Gemini => Self::Gemini(Box::new(gemini::Gemini::build(spec, secrets)?)),
            ProviderKind::Sandbox => Self::Sandbox,
        })
    }

    /// Why nothing can be sent before the operator has done something.
    pub fn locked(&self) -> Option<&SecretError> {
        match self {
            Self::Locked(_, why) => Some(why),
            Self::OpenAi(_)
            | Self::Azure(_)
            | Self::Anthropic(_)
            | Self::Bedrock(_)
            | Self::Gemini(_)
            | Self::Sandbox => None,
        }
    }

    /// Which it is.
    fn kind(&self) -> ProviderKind {
        match self {
            Self::OpenAi(openai) if openai.is_compatible() => ProviderKind::Compatible,
            Self::OpenAi(_) => ProviderKind::Openai,
            Self::Azure(_) => ProviderKind::Azure,
            Self::Anthropic(_) => ProviderKind::Anthropic,
            Self::Bedrock(_) => ProviderKind::Bedrock,
            Self::Gemini(_) => ProviderKind::Gemini,
            Self::Sandbox => ProviderKind::Sandbox,
            Self::Locked(kind, _) => *kind,
        }
    }

    /// The wire in which it is asked for chats by clients of a dialect: their own where it speaks more than one. None: it
    /// answers in this process, so that nothing is sent anywhere.
    pub(crate) fn wire(&self, client: Dialect) -> Option<Dialect> {
        match self.kind() {
            ProviderKind::Openai | ProviderKind::Azure | ProviderKind::Compatible
                if client == Dialect::OpenAiResponses && self.speaks_responses() =>
            {
                Some(Dialect::OpenAiResponses)
            }
            ProviderKind::Openai | ProviderKind::Azure | ProviderKind::Compatible => {
                Some(Dialect::OpenAiChat)
            }
            ProviderKind::Anthropic => Some(Dialect::AnthropicMessages),
            ProviderKind::Bedrock => Some(Dialect::BedrockConverse),
            ProviderKind::Gemini => Some(Dialect::GeminiGenerate),
            ProviderKind::Sandbox => None,
        }
    }

    /// Whether it speaks OpenAI Responses beside Chat Completions.
    fn speaks_responses(&self) -> bool {
        match self {
            Self::OpenAi(openai) => openai.speaks_responses(),
            Self::Azure(azure) => azure.speaks_responses(),
            Self::Anthropic(_) | Self::Bedrock(_) | Self::Gemini(_) | Self::Sandbox => false,
            // Nothing is sent before it is unlocked.
            Self::Locked(kind, _) => *kind == ProviderKind::Openai,
        }
    }

    /// Whether it answers in this process.
    pub(crate) fn is_here(&self) -> bool {
        self.kind() == ProviderKind::Sandbox
    }

    /// Whether it serves calls of this kind.
    pub(crate) fn serves(&self, endpoint: Endpoint) -> bool {
        match (self.kind(), endpoint) {
            (_, Endpoint::Chat)
            | (
                ProviderKind::Openai | ProviderKind::Azure | ProviderKind::Compatible | ProviderKind::Sandbox,
                Endpoint::Embeddings,
            )
            | (ProviderKind::Anthropic | ProviderKind::Sandbox, Endpoint::CountTokens) => true,
            (
                ProviderKind::Anthropic | ProviderKind::Bedrock | ProviderKind::Gemini,
                Endpoint::Embeddings,
            )
            | (
                ProviderKind::Openai
                | ProviderKind::Azure
                | ProviderKind::Compatible
                | ProviderKind::Bedrock
                | ProviderKind::Gemini,
                Endpoint::CountTokens,
            ) => false,
        }
    }

    /// Whether it is a server that speaks the wire and not the vendor whose wire it is.
    pub(crate) fn is_compatible(&self) -> bool {
        self.kind() == ProviderKind::Compatible
    }

    /// The request that goes upstream at `now`, and the client that sends it. Text: why there is none.
    pub(crate) async fn prepare(
        &self,
        outgoing: Outgoing<'_>,
        now: Timestamp,
    ) -> Result<(http::Request<Full<Bytes>>, &HttpClient), String> {
        match self {
            Self::OpenAi(openai) => Ok((openai.request(outgoing), openai.client())),
            Self::Azure(azure) => Ok((azure.request(outgoing, now).await?, azure.client())),
            Self::Anthropic(anthropic) => Ok((anthropic.request(outgoing), anthropic.client())),
            // Boxed: a chain of credentials is a large future that others need not carry.
            Self::Bedrock(bedrock) => Ok((Box::pin(bedrock.request(outgoing, now)).await?, bedrock.client())),
            Self::Gemini(gemini) => Ok((gemini.request(outgoing)?, gemini.client())),
            Self::Sandbox => Err("this channel is not served over HTTP".to_owned()),
            Self::Locked(_, why) => Err(why.to_string()),
        }
    }

    /// The vendor has refused what lets in and was at hand at `since`. Whether something else is to be had, so that it is
    /// worth while to ask once more: never where the operator gave it.
    pub(crate) async fn renew(&self, since: Instant) -> bool {
        match self {
            Self::Azure(azure) => azure.renew(since).await,
            Self::Bedrock(bedrock) => bedrock.renew(since).await,
            Self::OpenAi(_) | Self::Anthropic(_) | Self::Gemini(_) | Self::Sandbox | Self::Locked(..) => {
                false
            }
        }
    }

    /// How an error status is to be taken.
    pub(crate) fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        match self.kind() {
            ProviderKind::Openai | ProviderKind::Compatible | ProviderKind::Sandbox => {
                openai::classify(status, headers, body)
            }
            ProviderKind::Azure => azure::classify(status, headers, body),
            ProviderKind::Anthropic => anthropic::classify(status, headers, body),
            ProviderKind::Bedrock => bedrock::classify(status, headers, body),
            ProviderKind::Gemini => gemini::classify(status, headers, body),
        }
    }
}
