//! Token counts. `inputTokens` excludes what was read from and written to a cache; `outputTokens` includes reasoning,
//! which Bedrock does not tell apart; `cacheDetails` splits the writes by lifetime (API reference, `TokenUsage`).

use serde::Deserialize;
use steelyard_core::{Usage, UsageClass};

use crate::json::{Object, or_default, without_nulls};
use crate::openai_chat::usage::tokens;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    #[serde(deserialize_with = "tokens")]
    input_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    output_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    cache_read_input_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    cache_write_input_tokens: u64,
    #[serde(deserialize_with = "without_nulls")]
    cache_details: Vec<CacheDetail>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheDetail {
    #[serde(default, deserialize_with = "or_default")]
    ttl: String,
    #[serde(default, deserialize_with = "tokens")]
    input_tokens: u64,
}

/// Reads a `usage` member. None if it is no object or holds what is no count. Nothing but zeros reports nothing: taken
/// at its word, a broken answer would be free. Only where a guardrail `intervened` are zeros true: it kept the prompt
/// from the model.
pub(crate) fn decode(text: &str, intervened: bool) -> Option<Usage> {
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    let details = wire.cache_details;
    let lasting = details.iter().filter(|detail| detail.ttl == "1h").map(|detail| detail.input_tokens).sum();
    let detailed: u64 = details.iter().map(|detail| detail.input_tokens).fold(0, u64::saturating_add);
    // The parts of a whole do not exceed it; a whole that is not given is the sum of its parts.
    let written = if wire.cache_write_input_tokens == 0 { detailed } else { wire.cache_write_input_tokens };
    let lasting = u64::min(lasting, written);
    let mut usage = Usage::ZERO;
    usage[UsageClass::Input] = wire.input_tokens;
    usage[UsageClass::Output] = wire.output_tokens;
    usage[UsageClass::CacheRead] = wire.cache_read_input_tokens;
    usage[UsageClass::CacheWrite1h] = lasting;
    usage[UsageClass::CacheWrite5m] = written - lasting;
    (intervened || !usage.is_zero()).then_some(usage)
}

/// Sums of our classes in Bedrock's words.
pub(crate) struct Sums {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) read: u64,
    written_5m: u64,
    written_1h: u64,
}

impl Sums {
    pub(crate) fn of(usage: &Usage) -> Self {
        use UsageClass::{
            AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h,
            ImageCacheRead, ImageIn, ImageOut, Input, Output, Reasoning, VideoIn,
        };
        let sum = |classes: &[UsageClass]| {
            classes.iter().fold(0_u64, |sum, class| sum.saturating_add(usage[*class]))
        };
        Self {
            input: sum(&[Input, AudioIn, ImageIn, VideoIn]),
            output: sum(&[Output, Reasoning, AudioOut, ImageOut]),
            read: sum(&[CacheRead, AudioCacheRead, ImageCacheRead]),
            // The wire knows two lifetimes.
            written_5m: usage[CacheWrite5m],
            written_1h: sum(&[CacheWrite1h, CacheWrite12h]),
        }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written_5m.saturating_add(self.written_1h)
    }
}

/// Writes the members of a `usage` object. All that every answer of Bedrock's has are there, zero or not.
pub(crate) fn encode(usage: &Usage, object: &mut Object<'_>) {
    let sums = Sums::of(usage);
    let Sums { input, output, read, .. } = sums;
    let written = sums.written();
    let details = [("5m", sums.written_5m), ("1h", sums.written_1h)];
    let total = [output, read, written].iter().fold(input, |sum, count| sum.saturating_add(*count));
    object.field("inputTokens", &input);
    object.field("outputTokens", &output);
    object.field("totalTokens", &total);
    object.field("cacheReadInputTokens", &read);
    object.field("cacheWriteInputTokens", &written);
    if written > 0 {
        let details = details.into_iter().filter(|(_, count)| *count > 0);
        object.objects("cacheDetails", details, |detail, (ttl, count)| {
            detail.field("ttl", ttl);
            detail.field("inputTokens", &count);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UsageClass::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output};

    #[track_caller]
    fn check(wire: &str, expected: &[(UsageClass, u64)]) {
        assert_eq!(decode(wire, false), Some(expected.iter().copied().collect()), "{wire}");
    }

    #[test]
    fn classes_are_disjoint_on_the_wire_already() {
        check(r#"{"inputTokens":3,"outputTokens":5,"totalTokens":8}"#, &[(Input, 3), (Output, 5)]);
        check(
            r#"{"inputTokens":3,"outputTokens":5,"totalTokens":38,"cacheReadInputTokens":10,"cacheWriteInputTokens":20}"#,
            &[(Input, 3), (Output, 5), (CacheRead, 10), (CacheWrite5m, 20)],
        );
    }

    #[test]
    fn writes_are_split_by_lifetime_within_their_whole() {
        let check = |details: &str, expected: &[(UsageClass, u64)]| {
            check(
                &format!(r#"{{"inputTokens":1,"outputTokens":1,{details}}}"#),
                &[&[(Input, 1), (Output, 1)], expected].concat(),
            );
        };
        let both = r#""cacheDetails":[{"ttl":"1h","inputTokens":12},{"ttl":"5m","inputTokens":8}]"#;
        check(&format!(r#""cacheWriteInputTokens":20,{both}"#), &[(CacheWrite1h, 12), (CacheWrite5m, 8)]);
        check(both, &[(CacheWrite1h, 12), (CacheWrite5m, 8)]);
        check(&format!(r#""cacheWriteInputTokens":25,{both}"#), &[(CacheWrite1h, 12), (CacheWrite5m, 13)]);
        check(&format!(r#""cacheWriteInputTokens":10,{both}"#), &[(CacheWrite1h, 10)]);
        check(r#""cacheWriteInputTokens":7,"cacheDetails":[]"#, &[(CacheWrite5m, 7)]);
        check(r#""cacheWriteInputTokens":7,"cacheDetails":null"#, &[(CacheWrite5m, 7)]);
    }

    #[test]
    fn figures_that_are_none_are_not_charged_and_a_guardrail_makes_zeros_true() {
        let zeros = r#"{"inputTokens":0,"outputTokens":0,"totalTokens":0}"#;
        for wire in [
            "null",
            "{}",
            "[]",
            "7",
            zeros,
            r#"{"inputTokens":-5,"outputTokens":1}"#,
            r#"{"inputTokens":"many"}"#,
        ] {
            assert_eq!(decode(wire, false), None, "{wire}");
        }
        assert_eq!(decode(zeros, true), Some(Usage::ZERO));
        assert_eq!(decode(r#"{"inputTokens":1.5}"#, true), None);
    }

    #[test]
    fn what_is_written_is_read_again_and_adds_up() {
        let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&usage, object));
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            r#"{"inputTokens":4,"outputTokens":4,"totalTokens":14,"cacheReadInputTokens":3,"cacheWriteInputTokens":3,"cacheDetails":[{"ttl":"5m","inputTokens":1},{"ttl":"1h","inputTokens":2}]}"#
        );
        check(&text, &[(Input, 4), (Output, 4), (CacheRead, 3), (CacheWrite5m, 1), (CacheWrite1h, 2)]);
    }
}
