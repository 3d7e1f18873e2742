//! What a snapshot is built from, and why it could not be.

use std::sync::Arc;

use secrecy::SecretString;
use steelyard_billing::CatalogError;
use steelyard_core::{Principal, Timestamp};

use crate::provider::ChannelError;
use crate::spec::{ChannelSpec, PriceSpec, RouteSpec, Secrets};

/// A key as a call needs it.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// BLAKE3 of the secret.
    pub hash: [u8; 32],
    /// Whom it authenticates.
    pub principal: Arc<Principal>,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

/// A pair with which AWS's SDKs sign, as a call needs it.
#[derive(Debug, Clone)]
pub struct AwsKeyRecord {
    /// What a signature names.
    pub access_key_id: Arc<str>,
    /// What it is made with.
    pub secret: SecretString,
    /// Whom it authenticates.
    pub principal: Arc<Principal>,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

/// What a snapshot is built from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Keys that may call, the admin key among them.
    pub keys: Vec<KeyRecord>,
    /// Pairs that may sign calls.
    pub aws_keys: Vec<AwsKeyRecord>,
    /// What the vault holds for the accounts.
    pub secrets: Secrets,
    /// Accounts.
    pub channels: Vec<ChannelSpec>,
    /// Names with their targets.
    pub routes: Vec<RouteSpec>,
    /// Prices of the operator's own.
    pub prices: Vec<PriceSpec>,
}

/// Why a snapshot could not be built; the old one stays.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A channel cannot be built.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A name is used twice.
    #[error("{noun} `{name}` is declared twice: names must be unique")]
    Duplicate {
        /// What it names.
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// A name that could not be told from another form.
    #[error("{noun} `{name}` cannot be used as a name: use letters, digits, `-`, `_`, `.` and `:`, no `/`")]
    BadName {
        /// What it names.
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// A target or a price names a channel that does not exist.
    #[error("{place} names channel `{channel}`, which is not declared{}", hint(.nearest))]
    UnknownChannel {
        /// Where.
        place: String,
        /// The channel.
        channel: String,
        /// Channels with a similar name.
        nearest: Vec<String>,
    },
    /// A deployment of a model that the catalog does not have at that provider.
    #[error(
        "channel `{channel}`: deployment `{deployment}` is of `{model}`, which the catalog does not have there{}; \
         name a deployment of an unknown model under `models`, and its price under [[prices]]", hint(.nearest)
    )]
    UnknownDeployment {
        /// The channel.
        channel: String,
        /// The deployment.
        deployment: String,
        /// The model.
        model: String,
        /// Models with a similar name.
        nearest: Vec<String>,
    },
    /// A route that leads nowhere.
    #[error("route `{0}` has no target")]
    NoTarget(String),
    /// Weights that add up to nothing.
    #[error("route `{0}` is weighted, but all its weights are 0")]
    NoWeight(String),
    /// A price that cannot be used.
    #[error("price of `{model}` on channel `{channel}`: {problem}")]
    Price {
        /// The channel.
        channel: String,
        /// The model.
        model: String,
        /// What is wrong.
        problem: String,
    },
    /// The built-in catalog is broken.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn hint(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean `{}`?", nearest.join("`, `")) }
}
