//! What the ledger learns from an answer that is only relayed.

use steelyard_core::Usage;

/// Facts of a whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyFacts {
    /// The vendor's figures; none if it gave none that can be read.
    pub usage: Option<Usage>,
    /// The model that the vendor says answered.
    pub model: Option<String>,
    /// The service tier that the vendor says it used.
    pub service_tier: Option<String>,
    /// Where the vendor says it was served, if its prices differ by that.
    pub geo: Option<String>,
    /// Bytes of generated text, for [`count_tokens`] when there is no usage.
    pub content_bytes: u64,
}

/// Facts of a stream so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFacts {
    /// The vendor's last figures. Cumulative figures are not added up.
    pub usage: Option<Usage>,
    /// The figures are those of the beginning: the prompt is counted, the answer is not yet.
    pub usage_is_early: bool,
    /// The terminal event was seen.
    pub terminated: bool,
    /// At least one choice was seen, and each that was seen has a finish reason.
    pub finished: bool,
    /// An error event passed; its text.
    pub upstream_error: Option<String>,
    /// Bytes of generated text: answer, reasoning, refusal, tool names and arguments.
    pub content_bytes: u64,
    /// Events that carried generated text.
    pub content_events: u64,
    /// The model that the vendor says answers.
    pub model: Option<String>,
    /// The service tier that the vendor says it uses.
    pub service_tier: Option<String>,
    /// Where the vendor says it is served, if its prices differ by that.
    pub geo: Option<String>,
    /// Events that could not be read and were passed on as they were.
    pub unreadable_events: u64,
}

/// Output tokens of an answer whose vendor reported none, or that broke off.
///
/// The rule: the larger of the number of events that carried text (vendors send at least one token in each) and
/// one token for every four bytes of UTF-8, rounded up. A whole answer counts as no events.
pub fn count_tokens(content_bytes: u64, content_events: u64) -> u64 {
    content_bytes.div_ceil(4).max(content_events)
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
