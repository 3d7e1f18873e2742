//! What an operator declares: channels, routes and prices. The configuration file and the management API both
//! lower into these, and [`crate::snapshot`] builds from nothing else. Doc comments here are the reference page.

mod secret;
mod size;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use secret::{SecretError, SecretRef, Secrets};
pub use size::ByteSize;

/// A wire adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's own API.
    Openai,
    /// Azure OpenAI. Its models are the account's deployments, under the names that these were given.
    Azure,
    /// Any server that speaks OpenAI's Chat Completions: vLLM, Ollama, a vendor's compatible endpoint.
    Compatible,
    /// Anthropic's own API.
    Anthropic,
    /// Amazon Bedrock's Converse API.
    Bedrock,
    /// Google's Gemini API.
    Gemini,
    /// The scripted stand-in inside Steelyard. It is not a language model.
    Sandbox,
}

impl ProviderKind {
    /// The name in configuration, ledger and catalog.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Azure => "azure",
            Self::Compatible => "compatible",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "bedrock",
            Self::Gemini => "gemini",
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
    /// `https://api.openai.com/v1` for `openai`, `https://api.anthropic.com` for `anthropic`,
    /// `https://bedrock-runtime.REGION.amazonaws.com` for `bedrock`
    /// and `https://generativelanguage.googleapis.com` for `gemini` unless given. For `azure` the address of the
    /// resource, such as `https://NAME.openai.azure.com`; required.
    #[serde(default)]
    pub base_url: Option<String>,
    /// Azure's API version. With a date, such as `2024-10-21`, the deployment is called by its own path,
    /// `/openai/deployments/NAME`. Without, all are called at `/openai/v1`, which is also where `preview` is sent.
    /// Dates before 2024-08 are refused: they do not report usage in streams.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Azure's deployments, by the names that they were given, each with the name that the catalog has for its model at Azure:
    /// `{ chat-prod = "gpt-6-sol" }`. Their prices and limits are then known, and they can be called by either name. Without any,
    /// each of the catalog's models is taken to be deployed under its own name, as Azure proposes.
    #[serde(default)]
    pub deployments: BTreeMap<String, String>,
    /// Whether a `compatible` server speaks OpenAI's Responses (`BASE_URL/responses`) beside Chat Completions. Clients of
    /// Responses are then relayed to it; without, their calls are translated. `openai` does, and so does `azure` at
    /// `/openai/v1`.
    #[serde(default)]
    pub responses: bool,
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
    /// An application registered at Microsoft Entra, which lets in at Azure instead of an `api_key`.
    #[serde(default)]
    pub entra: Option<EntraSpec>,
    /// OpenAI organization, sent as `OpenAI-Organization`.
    #[serde(default)]
    pub organization: Option<String>,
    /// OpenAI project, sent as `OpenAI-Project`.
    #[serde(default)]
    pub project: Option<String>,
    /// Models to offer under their bare names, beside those that the catalog knows for this provider.
    #[serde(default)]
    pub models: Vec<String>,
    /// Geography of the account, for prices that differ by it, in the price book's words. Unless given, it follows each
    /// model: on `bedrock` an inference profile's prefix (`us.`, `eu.`, `global.`), else the region; on `openai` the
    /// address (`eu.api.openai.com`); elsewhere `global`. What a vendor reports in an answer goes before all of these.
    #[serde(default)]
    pub geo: Option<String>,
    /// A PEM file of certificate authorities to trust for this channel beside the machine's own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Headers added to every request of this channel.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Time limits towards this provider.
    #[serde(default)]
    pub timeouts: TimeoutSpec,
    /// Largest whole answer. One that is larger is taken for a defect of the vendor's: it is in memory while it comes.
    /// Streams have no limit.
    #[serde(default = "default_max_answer")]
    pub max_answer: ByteSize,
}

const fn default_max_answer() -> ByteSize {
    ByteSize(64 << 20)
}

impl ChannelSpec {
    /// Whether the channel depends on what may change while the declaration does not.
    pub fn changes_elsewhere(&self) -> bool {
        self.ca_file.is_some() || self.secrets().any(SecretRef::changes_elsewhere)
    }

    /// Its secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let pair = self.credentials.iter().flat_map(CredentialsSpec::secrets);
        self.api_key.iter().chain(pair).chain(self.entra.iter().map(|entra| &entra.client_secret))
    }

    /// Its secrets, to be completed.
    pub fn secrets_mut(&mut self) -> impl Iterator<Item = &mut SecretRef> {
        let pair = self.credentials.iter_mut().flat_map(CredentialsSpec::secrets_mut);
        self.api_key.iter_mut().chain(pair).chain(self.entra.iter_mut().map(|entra| &mut entra.client_secret))
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

/// An application of Microsoft Entra, with a secret. It needs the role "Cognitive Services OpenAI User" on the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntraSpec {
    /// The directory (tenant) that the application is registered in: its id or its domain.
    pub tenant: String,
    /// The application's (client's) id.
    pub client_id: String,
    /// Its secret: `env:NAME`, `file:PATH`, `vault:NAME`, or the secret itself.
    pub client_secret: SecretRef,
    /// Where tokens are asked for. Unless given `https://login.microsoftonline.com`; national clouds have others, such as
    /// `https://login.microsoftonline.us`.
    #[serde(default)]
    pub authority: Option<String>,
    /// What the tokens are for. Unless given `https://cognitiveservices.azure.com/.default`; national clouds have others, such as
    /// `https://cognitiveservices.azure.us/.default`.
    #[serde(default)]
    pub scope: Option<String>,
}

/// Time limits of an attempt, written `500ms`, `10s`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutSpec {
    /// Until a connection stands, TLS included.
    pub connect: Span,
    /// From sending the request until the head of the answer; of a stream, until its first bytes. Where a stream is
    /// translated, it runs until the first piece of the answer: signs of life do not count there.
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
    /// Largest prompt and answer together, in tokens. Unless given, the catalog's; if nobody knows it, the worst case of
    /// a call with a URL or a file id is assumed.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// Largest answer, in tokens. Unless given, the catalog's, else the context window; if nobody knows either, the
    /// worst case of a call without a limit of its own is assumed.
    #[serde(default)]
    pub max_output: Option<u64>,
}

/// A length of time, written `500ms`, `10s`, `2m`, `1h 30m`, `30d`; a day has 24 hours.
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
        text.parse::<jiff::Span>()
            .ok()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok())
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
