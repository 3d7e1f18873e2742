//! Answers: what the model says, why it stopped, and what was used.

use serde::{Deserialize, Serialize};
use steelyard_core::Usage;

use crate::chat::Message;
use crate::json::without_nulls;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChatResponse {
    /// The vendor's id.
    pub id: Option<String>,
    /// The model that answered, as the vendor calls it.
    pub model: String,
    /// Seconds since the epoch.
    pub created: Option<i64>,
    /// The answers.
    pub choices: Vec<Choice>,
    /// What was used.
    pub usage: Option<Usage>,
    /// The tier that served it.
    pub service_tier: Option<String>,
    /// Where it was served, if the vendor says so and its prices differ by that.
    pub geo: Option<String>,
    /// The vendor's configuration.
    pub system_fingerprint: Option<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u32,
    /// What the model says.
    pub message: Message,
    /// Why it stopped.
    pub finish: FinishReason,
    /// Probabilities, when asked for.
    pub logprobs: Option<Logprobs>,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done.
    Stop,
    /// It met a stop text; which one, if the vendor says. Wires without a word for it say that it was done.
    StopSequence(Option<String>),
    /// The cap on tokens.
    Length,
    /// The context window is full.
    ContextWindow,
    /// It waits for tool results.
    ToolCalls,
    /// A filter of the vendor.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// A guardrail that the caller asked for.
    Guardrail,
    /// The vendor pauses a long turn; it goes on when the answer is sent back.
    Paused,
    /// The model wrote a tool call that cannot be read.
    MalformedToolCall,
    /// A vendor's own word.
    Other(String),
}

/// Probabilities of the tokens of an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Logprobs {
    /// Of the text.
    #[serde(default)]
    pub content: Option<Vec<TokenLogprob>>,
    /// Of the refusal.
    #[serde(default)]
    pub refusal: Option<Vec<TokenLogprob>>,
}

/// A token and its probability.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token's text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes, where a token is not whole characters.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
    /// What else could have stood there.
    #[serde(default, deserialize_with = "without_nulls")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// An alternative token.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TopLogprob {
    /// The token's text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes, where a token is not whole characters.
    #[serde(default)]
    pub bytes: Option<Vec<u8>>,
}
