//! Providers: the wire adapters, and the channels that use them. The only folder that asks which provider it is.

pub mod anthropic;
pub mod bedrock;
mod endpoint;
pub mod openai;
mod retry;
pub mod sandbox;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use steelyard_core::Timestamp;
use steelyard_dialect::Dialect;

use crate::call::Endpoint;
use crate::client::{ClientError, HttpClient};
use crate::spec::{ChannelSpec, ProviderKind, SecretError, TimeoutSpec};

/// A configured account, ready to be called.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: Arc<str>,
    /// Where its models run, for prices that differ by it.
    pub geo: Arc<str>,
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
    /// Anthropic's own API.
    Anthropic(Box<anthropic::Anthropic>),
    /// Amazon Bedrock's runtime.
    Bedrock(Box<bedrock::Bedrock>),
    /// The stand-in inside this process.
    Sandbox,
}

/// Why a channel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// Its secret cannot be fetched.
    #[error("channel `{channel}`: its api_key cannot be fetched")]
    Secret {
        /// The channel.
        channel: String,
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
    pub fn build(spec: &ChannelSpec) -> Result<Self, ChannelError> {
        let provider = match spec.provider {
            ProviderKind::Openai | ProviderKind::Compatible => {
                Provider::OpenAi(Box::new(openai::OpenAi::build(spec)?))
            }
            ProviderKind::Anthropic => Provider::Anthropic(Box::new(anthropic::Anthropic::build(spec)?)),
            ProviderKind::Bedrock => Provider::Bedrock(Box::new(bedrock::Bedrock::build(spec)?)),
            ProviderKind::Sandbox => Provider::Sandbox,
        };
        Ok(Self {
            name: spec.name.as_str().into(),
            geo: spec.geo.as_str().into(),
            spec: spec.clone(),
            provider,
        })
    }

    /// The catalog's name for this provider's price list.
    pub fn catalog_name(&self) -> &'static str {
        self.spec.provider.name()
    }

    /// OpenTelemetry's `gen_ai.provider.name`: the conventions' own where they have one.
    pub fn telemetry_name(&self) -> &'static str {
        match self.spec.provider {
            ProviderKind::Openai => "openai",
            ProviderKind::Compatible => "compatible",
            ProviderKind::Anthropic => "anthropic",
            ProviderKind::Bedrock => "aws.bedrock",
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

/// What is to be sent.
pub(crate) struct Outgoing<'a> {
    /// For what.
    pub(crate) endpoint: Endpoint,
    /// The model as the vendor calls it.
    pub(crate) model: &'a str,
    /// Whether a stream is asked for.
    pub(crate) stream: bool,
    /// The headers that belong to the wire: the client's own, or those that its request came to.
    pub(crate) headers: &'a HeaderMap,
    /// The body, in the provider's wire.
    pub(crate) body: Bytes,
}

impl Provider {
    /// The wire it speaks for chats. None: it answers in this process, so that nothing is sent anywhere.
    pub(crate) fn wire(&self) -> Option<Dialect> {
        match self {
            Self::OpenAi(_) => Some(Dialect::OpenAiChat),
            Self::Anthropic(_) => Some(Dialect::AnthropicMessages),
            Self::Bedrock(_) => Some(Dialect::BedrockConverse),
            Self::Sandbox => None,
        }
    }

    /// Whether it serves calls of this kind.
    pub(crate) fn serves(&self, endpoint: Endpoint) -> bool {
        match (self, endpoint) {
            (_, Endpoint::Chat)
            | (Self::OpenAi(_) | Self::Sandbox, Endpoint::Embeddings)
            | (Self::Anthropic(_) | Self::Sandbox, Endpoint::CountTokens) => true,
            (Self::Anthropic(_) | Self::Bedrock(_), Endpoint::Embeddings)
            | (Self::OpenAi(_) | Self::Bedrock(_), Endpoint::CountTokens) => false,
        }
    }

    /// Whether it is a server that speaks the wire and not the vendor whose wire it is.
    pub(crate) fn is_compatible(&self) -> bool {
        match self {
            Self::OpenAi(openai) => openai.is_compatible(),
            Self::Anthropic(_) | Self::Bedrock(_) | Self::Sandbox => false,
        }
    }

    /// The request that goes upstream at `now`, and the client that sends it. Text: why there is none.
    pub(crate) async fn prepare(
        &self,
        outgoing: Outgoing<'_>,
        now: Timestamp,
    ) -> Result<(http::Request<Full<Bytes>>, &HttpClient), String> {
        match self {
            Self::OpenAi(openai) => Ok((openai.request(outgoing), openai.client())),
            Self::Anthropic(anthropic) => Ok((anthropic.request(outgoing), anthropic.client())),
            // Boxed: a chain of credentials is a large future that others need not carry.
            Self::Bedrock(bedrock) => Ok((Box::pin(bedrock.request(outgoing, now)).await?, bedrock.client())),
            Self::Sandbox => Err("this channel is not served over HTTP".to_owned()),
        }
    }

    /// How an error status is to be taken.
    pub(crate) fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        match self {
            Self::OpenAi(_) | Self::Sandbox => openai::classify(status, headers, body),
            Self::Anthropic(_) => anthropic::classify(status, headers, body),
            Self::Bedrock(_) => bedrock::classify(status, headers, body),
        }
    }
}
