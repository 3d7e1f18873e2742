//! The ledger feed, `GET /api/v1/ledger/entries`, as a reader outside sees it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One page of the feed.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) data: Vec<Entry>,
    pub(crate) next: Option<u64>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    /// `ent_…`.
    pub id: String,
    /// Its place in the feed.
    pub seq: u64,
    /// Equal to the header `x-steelyard-request-id`.
    pub request_id: String,
    /// RFC 3339.
    pub time: String,
    /// The project's name.
    pub project: String,
    /// The key's id; none for the admin key.
    pub key: Option<String>,
    /// The key's name.
    pub principal: String,
    /// The name the client called, after resolution.
    pub route: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The channel that answered.
    pub channel: Option<String>,
    /// The client's dialect.
    pub dialect: String,
    /// `ok`, `upstream_error`, `client_gone`, `timeout`, `unsettled`, `shutdown`.
    pub outcome: String,
    /// Counts by class; absent classes are zero.
    pub usage: BTreeMap<String, u64>,
    /// `reported`, `counted`, `hold`.
    pub basis: Option<String>,
    /// Every upstream try.
    pub attempts: Vec<Attempt>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Fields that the target could not express.
    pub losses: Vec<Value>,
    /// The entry that this one corrects.
    pub adjusts: Option<String>,
    /// Pico-USD.
    pub amount_pusd: Option<String>,
    /// US dollars.
    pub amount_usd: Option<String>,
}

/// One upstream try.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u16,
    /// The channel's name.
    pub channel: String,
    /// The catalog id, or the upstream's own name.
    pub model: String,
    /// The name sent upstream.
    pub upstream_model: String,
    /// `ok`, `connect_error`, `http_error`, `timeout`, `cut`, `client_gone`, `unsettled`.
    pub status: String,
    /// The vendor's status.
    #[serde(default)]
    pub http_status: Option<u16>,
    /// The vendor's request id.
    #[serde(default)]
    pub vendor_request_id: Option<String>,
    /// What it used.
    #[serde(default)]
    pub usage: BTreeMap<String, u64>,
    /// Where the figures come from.
    #[serde(default)]
    pub basis: Option<String>,
    /// The price version.
    #[serde(default)]
    pub price_version: Option<String>,
    /// Where it was served.
    #[serde(default)]
    pub geo: Option<String>,
    /// The service tier.
    #[serde(default)]
    pub tier: Option<String>,
    /// Pico-USD, as a decimal string.
    #[serde(default, alias = "amount_pusd")]
    pub amount: Option<String>,
    /// The worst case, in pico-USD, as a decimal string.
    #[serde(default, alias = "hold_pusd")]
    pub hold: Option<String>,
    /// The same, where a bound of it was assumed.
    #[serde(default)]
    pub hold_assumed: Option<String>,
    /// Notes.
    #[serde(default)]
    pub flags: Vec<String>,
}

impl Entry {
    /// The count of a class; 0 when absent.
    pub fn used(&self, class: &str) -> u64 {
        self.usage.get(class).copied().unwrap_or(0)
    }

    /// The amount in pico-USD.
    pub fn pico(&self) -> Option<i128> {
        self.amount_pusd.as_deref().map(|text| text.parse().expect("amount_pusd is an integer"))
    }

    /// The status of every attempt, in order.
    pub fn statuses(&self) -> Vec<&str> {
        self.attempts.iter().map(|attempt| attempt.status.as_str()).collect()
    }

    /// The channel of every attempt, in order.
    pub fn channels(&self) -> Vec<&str> {
        self.attempts.iter().map(|attempt| attempt.channel.as_str()).collect()
    }
}
