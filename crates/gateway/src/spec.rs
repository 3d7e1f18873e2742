//! What an operator declares: channels, routes and prices. The configuration file and the management API both
//! lower into these, and [`crate::snapshot`] builds from nothing else. Doc comments here are the reference page.

mod secret;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use secret::{SecretError, SecretRef, Secrets};

/// A wire adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's own API.
    Openai,
    /// Any server that speaks OpenAI's Chat Completions: vLLM, Ollama, a vendor's compatible endpoint.
    Compatible,
    /// Anthropic's own API.
    Anthropic,
    /// Amazon Bedrock's Converse API.
    Bedrock,
    /// The scripted stand-in inside Steelyard. It is not a language model.
    Sandbox,
}

impl ProviderKind {
    /// The name in configuration, ledger and catalog.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Compatible => "compatible",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Sandbox => "sandbox",
        }
    }
}

/// One configured account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// The channel's name, used in routes, in `channel/model` and in the ledger.
    pub name: String,
    /// The wire adapter.
    pub provider: ProviderKind,
    /// Where the provider is reached, up to and without `/chat/completions`. Required for `compatible`;
    /// `https://api.openai.com/v1` for `openai`, `https://api.anthropic.com` for `anthropic`
    /// and `https://bedrock-runtime.REGION.amazonaws.com` for `bedrock` unless given.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The account's API key: `env:NAME`, `file:PATH`, `vault:NAME`, or the key itself.
    #[serde(default)]
    pub api_key: Option<SecretRef>,
    /// AWS region, such as `us-east-1`. Required for `bedrock`.
    #[serde(default)]
    pub region: Option<String>,
    /// AWS credentials. Without them and without an `api_key`, AWS's own chain is asked: environment, profile, web
    /// identity, container, instance.
    #[serde(default)]
    pub credentials: Option<CredentialsSpec>,
    /// OpenAI organization, sent as `OpenAI-Organization`.
    #[serde(default)]
    pub organization: Option<String>,
    /// OpenAI project, sent as `OpenAI-Project`.
    #[serde(default)]
    pub project: Option<String>,
    /// Models to offer under their bare names, beside those that the catalog knows for this provider.
    #[serde(default)]
    pub models: Vec<String>,
    /// Geography of the account, for prices that differ by it.
    #[serde(default = "default_geo")]
    pub geo: String,
    /// A PEM file of certificate authorities to trust for this channel beside the machine's own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Headers added to every request of this channel.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Time limits towards this provider.
    #[serde(default)]
    pub timeouts: TimeoutSpec,
}

impl ChannelSpec {
    /// Whether the channel depends on what may change while the declaration does not.
    pub fn changes_elsewhere(&self) -> bool {
        self.ca_file.is_some() || self.secrets().any(SecretRef::changes_elsewhere)
    }

    /// Its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        self.api_key.iter().chain(self.credentials.iter().flat_map(CredentialsSpec::secrets))
    }

    /// Its secrets, to be completed.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        self.api_key.iter_mut().chain(self.credentials.iter_mut().flat_map(CredentialsSpec::secrets_mut))
    }
}

/// An AWS access key pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialsSpec {
    /// The access key id: `env:NAME`, `file:PATH`, `vault:NAME`, or the id itself.
    pub access_key_id: SecretRef,
    /// The secret access key, likewise.
    pub secret_access_key: SecretRef,
    /// The session token of temporary credentials, likewise.
    #[serde(default)]
    pub session_token: Option<SecretRef>,
}

impl CredentialsSpec {
    /// Each of them.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        [&self.access_key_id, &self.secret_access_key].into_iter().chain(&self.session_token)
    }

    fn secrets_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        [&mut self.access_key_id, &mut self.secret_access_key].into_iter().chain(&mut self.session_token)
    }
}

fn default_geo() -> String {
    "global".to_owned()
}

/// Time limits of an attempt, written `500ms`, `10s`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutSpec {
    /// Until a connection stands, TLS included.
    pub connect: Span,
    /// From sending the request until the first byte of the answer's head.
    pub first_byte: Span,
    /// Between two pieces of an answer.
    pub idle: Span,
    /// The whole attempt.
    pub total: Span,
}

impl Default for TimeoutSpec {
    fn default() -> Self {
        Self {
            connect: Span(Duration::from_secs(10)),
            first_byte: Span(Duration::from_mins(10)),
            idle: Span(Duration::from_mins(2)),
            total: Span(Duration::from_hours(1)),
        }
    }
}

/// A name clients call, with where it leads.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// The name clients put into `model`.
    pub name: String,
    /// How the order of targets is chosen for a call.
    #[serde(default)]
    pub strategy: Strategy,
    /// Where it leads. The next is tried when one fails before the first byte went to the client.
    pub targets: Vec<TargetSpec>,
    /// What happens upstream when the client hangs up.
    #[serde(default)]
    pub on_disconnect: OnDisconnect,
    /// Refuse calls with a field that the target cannot express, instead of naming the loss.
    #[serde(default)]
    pub strict: bool,
    /// How often the targets are gone through again after all have failed in a way that may pass.
    #[serde(default = "default_retries")]
    pub retries: u8,
}

pub(crate) const fn default_retries() -> u8 {
    1
}

/// One target of a route.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// A channel's name.
    pub channel: String,
    /// The model's name at that provider.
    pub model: String,
    /// Its share of calls under `weighted`.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

const fn default_weight() -> u32 {
    1
}

/// How the order of targets is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As written.
    #[default]
    Priority,
    /// The first by chance, in proportion to the weights; then as written.
    Weighted,
}

/// What happens upstream when the client hangs up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// The upstream call is cancelled; what passed is counted.
    #[default]
    Cut,
    /// The upstream answer is read to its end, for at most 60 s, so that the vendor's own figures are in the ledger.
    Drain,
}

/// A price of your own: an override, or the price of a model that the catalog does not know.
/// US dollars per million tokens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSpec {
    /// The channel's name.
    pub channel: String,
    /// The model's name at that provider.
    pub model: String,
    /// From which date the price holds, midnight UTC.
    #[schemars(with = "String", extend("format" = "date"))]
    pub from: toml::value::Datetime,
    /// Prompt tokens.
    pub input: String,
    /// Generated tokens.
    pub output: String,
    /// Prompt tokens read from a cache.
    #[serde(default)]
    pub cache_read: Option<String>,
    /// Prompt tokens written to a cache for five minutes.
    #[serde(default)]
    pub cache_write_5m: Option<String>,
    /// Prompt tokens written to a cache for an hour.
    #[serde(default)]
    pub cache_write_1h: Option<String>,
    /// Generated reasoning tokens, where they are not priced as output.
    #[serde(default)]
    pub reasoning: Option<String>,
    /// Largest prompt and answer together, in tokens.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Largest answer, in tokens.
    #[serde(default)]
    pub max_output: Option<u64>,
}

/// A length of time, written `500ms`, `10s`, `2m`, `1h 30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Span(pub Duration);

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let span = jiff::SignedDuration::try_from(self.0).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{span:#}"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|span| Duration::try_from(span).ok())
            .filter(|span| !span.is_zero())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{text}` is not a length of time: write it as 500ms, 10s or 2m"
                ))
            })
    }
}
