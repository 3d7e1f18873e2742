//! What the ledger learns from an answer that is only relayed.

use steelyard_core::Usage;

use crate::chat::FinishReason;
use crate::error::UpstreamFault;
use crate::openai_chat::facts::text_bytes;

/// Facts of a whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyFacts {
    /// The vendor's figures; none if it gave none that can be read.
    pub usage: Option<Usage>,
    /// The vendor's id of the answer.
    pub id: Option<String>,
    /// The model that the vendor says answered.
    pub model: Option<String>,
    /// The service tier that the vendor says it used.
    pub service_tier: Option<String>,
    /// Where the vendor says it was served, if its prices differ by that.
    pub geo: Option<String>,
    /// Bytes of generated text, for [`count_tokens`] when there is no usage.
    pub content_bytes: u64,
    /// Why it ended, for each choice.
    pub finish: Vec<FinishReason>,
}

/// Facts of a stream so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFacts {
    /// The vendor's last figures. Cumulative figures are not added up.
    pub usage: Option<Usage>,
    /// How many of `content_events` had come when the last figures did.
    pub told_events: u64,
    /// An event was seen that is more than a sign of life, and no error.
    pub begun: bool,
    /// The terminal event was seen.
    pub terminated: bool,
    /// At least one choice was seen, and each that was seen has a finish reason.
    pub finished: bool,
    /// An error event passed.
    pub upstream_error: Option<UpstreamFault>,
    /// Bytes of generated text: answer, reasoning, refusal, tool names and arguments.
    pub content_bytes: u64,
    /// Events that carried generated text.
    pub content_events: u64,
    /// Why it ended, for each choice in the order in which they did.
    pub finish: Vec<FinishReason>,
    /// The vendor's id of the answer.
    pub id: Option<String>,
    /// The model that the vendor says answers.
    pub model: Option<String>,
    /// The service tier that the vendor says it uses.
    pub service_tier: Option<String>,
    /// Where the vendor says it is served, if its prices differ by that.
    pub geo: Option<String>,
    /// Events that are JSON of another shape and were passed on as they were.
    pub unreadable_events: u64,
}

impl StreamFacts {
    /// The vendor's figures. None leaves those of before.
    pub(crate) fn tell(&mut self, usage: Option<Usage>) {
        if usage.is_some() {
            self.usage = usage;
            self.told_events = self.content_events;
        }
    }
}

/// Output tokens of an answer whose vendor reported none, or that broke off.
///
/// The rule: the larger of the number of events that carried text (vendors send at least one token in each) and
/// one token for every four bytes of UTF-8, rounded up. A whole answer counts as no events.
pub fn count_tokens(content_bytes: u64, content_events: u64) -> u64 {
    content_bytes.div_ceil(4).max(content_events)
}

/// Bytes of generated text in an answer that cannot be read, as far as it can be told from what stands around it: the
/// strings under the names that the wires have for a model's own words. A web page has none.
pub(crate) fn generated_bytes(body: &[u8]) -> u64 {
    if body.trim_ascii_start().starts_with(b"{") { text_bytes(body).0 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_by_events_or_by_four_bytes() {
        assert_eq!(count_tokens(0, 0), 0);
        assert_eq!(count_tokens(1, 0), 1);
        assert_eq!(count_tokens(8, 1), 2);
        assert_eq!(count_tokens(9, 1), 3);
        assert_eq!(count_tokens(4, 7), 7);
        assert_eq!(count_tokens(u64::MAX, 1), u64::MAX / 4 + 1);
    }
}
