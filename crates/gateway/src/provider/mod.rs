//! Providers: the wire adapters, and the channels that use them. The only folder that asks which provider it is.

pub mod openai;
pub mod sandbox;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;

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

impl Provider {
    /// The request that goes upstream, and the client that sends it. None: served in this process.
    pub(crate) fn prepare(
        &self,
        endpoint: Endpoint,
        body: Bytes,
    ) -> Option<(http::Request<Full<Bytes>>, &HttpClient)> {
        match self {
            Self::OpenAi(openai) => Some((openai.request(endpoint, body), openai.client())),
            Self::Sandbox => None,
        }
    }

    /// Whether it answers in this process, so that nothing is sent anywhere.
    pub(crate) fn answers_here(&self) -> bool {
        match self {
            Self::OpenAi(_) => false,
            Self::Sandbox => true,
        }
    }

    /// How an error status is to be taken.
    pub(crate) fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        match self {
            Self::OpenAi(_) | Self::Sandbox => openai::classify(status, headers, body),
        }
    }
}
