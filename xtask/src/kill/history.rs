//! What three witnesses saw: the clients, the upstream and the ledger.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Deserialize;
use steelyard_core::Timestamp;

use super::dialect::Dialect;

/// Everything that the witnesses saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    /// Every call a client began, in no order.
    pub(crate) calls: Vec<Call>,
    /// What the upstream saw of each, by the call's marker.
    pub(crate) upstream: BTreeMap<String, Seen>,
    /// The ledger, by `seq`.
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// What the configuration charges, by channel.
    pub(crate) prices: BTreeMap<String, Price>,
}

/// A call as its client saw it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Unique; sent in the first message.
    pub(crate) marker: String,
    /// What the client spoke.
    pub(crate) dialect: Dialect,
    /// Whether it asked for a stream.
    pub(crate) stream: bool,
    /// The route, which only this client calls, one call at a time.
    pub(crate) route: String,
    /// Before its first byte was sent.
    pub(crate) began: Timestamp,
    /// The status of the answer's head.
    pub(crate) status: Option<u16>,
    /// `x-steelyard-request-id` of the answer's head.
    pub(crate) request_id: Option<String>,
    /// How it ended.
    pub(crate) end: End,
    /// The usage in the answer, if the client asked for it and it came.
    pub(crate) told: Option<Tokens>,
    /// Whether an error status is a right answer to it.
    pub(crate) may_fail: bool,
    /// Whether the server was killed while calls like this one were under way.
    pub(crate) killed: bool,
}

/// How a call ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The last byte came: the whole body, or the end mark of a stream.
    Complete,
    /// The connection ended first.
    Broken,
    /// The client hung up.
    HungUp,
}

/// A call as the upstream saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// How often it came.
    pub(crate) attempts: u32,
    /// The usage it reported, once it did.
    pub(crate) reported: Option<Tokens>,
}

/// Counts by the classes that have a price here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tokens {
    /// Prompt tokens outside the cache.
    pub(crate) input: u64,
    /// Prompt tokens from the cache.
    pub(crate) cache_read: u64,
    /// Generated tokens without reasoning.
    pub(crate) output: u64,
    /// Generated reasoning tokens.
    pub(crate) reasoning: u64,
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.output += other.output;
        self.reasoning += other.reasoning;
    }
}

/// Pico-USD per token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price {
    /// Of `input`.
    pub(crate) input: i128,
    /// Of `cache_read`.
    pub(crate) cache_read: i128,
    /// Of `output`.
    pub(crate) output: i128,
    /// Of `reasoning`.
    pub(crate) reasoning: i128,
}

impl Price {
    /// What the tokens cost, in pico-USD. Reckoned here and not by the crate that is under test.
    pub(crate) fn of(&self, tokens: Tokens) -> i128 {
        self.input * i128::from(tokens.input)
            + self.cache_read * i128::from(tokens.cache_read)
            + self.output * i128::from(tokens.output)
            + self.reasoning * i128::from(tokens.reasoning)
    }
}

/// A ledger entry, as the feed shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    /// The call.
    pub(crate) request_id: String,
    /// When the call arrived.
    pub(crate) time: Timestamp,
    /// The name the client called.
    pub(crate) route: String,
    /// What the client spoke.
    pub(crate) dialect: String,
    /// Whether it asked for a stream.
    pub(crate) stream: bool,
    /// Where it was sent last.
    pub(crate) channel: Option<String>,
    /// `ok`, `upstream_error`, `client_gone`, `timeout`, `unsettled`.
    pub(crate) outcome: String,
    /// Counts by class.
    pub(crate) usage: BTreeMap<String, u64>,
    /// `reported`, `counted`, `hold`.
    pub(crate) basis: Option<String>,
    /// Every try.
    pub(crate) attempts: Vec<Attempt>,
    /// The entry it corrects.
    pub(crate) adjusts: Option<String>,
    /// What it cost.
    pub(crate) amount_pusd: Option<String>,
}

/// One try of an entry.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Attempt {
    /// The upstream's own id, which here is the call's marker.
    pub(crate) vendor_request_id: Option<String>,
}

impl Entry {
    /// Its counts; `None` if it counts what this upstream never uses.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        let mut tokens = Tokens::default();
        for (class, count) in &self.usage {
            match class.as_str() {
                "input" => tokens.input = *count,
                "cache_read" => tokens.cache_read = *count,
                "output" => tokens.output = *count,
                "reasoning" => tokens.reasoning = *count,
                "calls" => {}
                _ if *count == 0 => {}
                _ => return None,
            }
        }
        Some(tokens)
    }
}

/// Usage as OpenAI's Chat Completions report it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Reported {
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: u64,
}

impl Reported {
    /// In disjoint classes: there, cached tokens are part of the prompt and reasoning is part of the completion.
    pub(crate) fn tokens(self) -> Tokens {
        let cache_read = self.prompt_tokens_details.map_or(0, |details| details.cached_tokens);
        let reasoning = self.completion_tokens_details.map_or(0, |details| details.reasoning_tokens);
        Tokens {
            input: self.prompt_tokens.saturating_sub(cache_read),
            cache_read,
            output: self.completion_tokens.saturating_sub(reasoning),
            reasoning,
        }
    }
}
