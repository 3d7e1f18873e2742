//! Token counts: OpenAI's overlap, ours are disjoint.
//!
//! `prompt_tokens` includes cached, cache-written and audio tokens; `completion_tokens` includes reasoning and
//! audio (OpenAI's API reference). Parts that add up to more than their whole are cut to it, never below zero.
//! Two vendors leave reasoning out of `completion_tokens` and count it in `total_tokens`: xAI, which also gives
//! it in the details, and Gemini's compatible endpoint, which does not. The total tells, beside a prompt that is told; and where
//! only the answer is told, it tells the prompt. Alone it tells nothing of a chat, and all of an embedding.

use serde::{Deserialize, Deserializer};
use steelyard_core::{Usage, UsageClass};

use crate::json::Object;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(deserialize_with = "tokens")]
    prompt_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    completion_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    total_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// `DeepSeek`'s name for cached tokens.
    #[serde(deserialize_with = "tokens")]
    prompt_cache_hit_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
struct PromptDetails {
    #[serde(deserialize_with = "tokens")]
    cached_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    cache_write_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    audio_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    #[serde(deserialize_with = "tokens")]
    reasoning_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    audio_tokens: u64,
}

/// More than any call can use: a larger figure is a defect, not a bill.
const MOST: u64 = 1_000_000_000_000;

/// A count as vendors write it: null is zero, `12.0` is twelve. What is no count (less than nothing, a fraction, beyond
/// all measure) makes the figures unreadable, so that nobody is charged by them.
pub(crate) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Whole(u64),
        Other(f64),
        Nothing,
    }
    let count = match Count::deserialize(deserializer)? {
        Count::Whole(count) => Some(count),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in range, as checked"
        )]
        #[expect(clippy::cast_precision_loss, reason = "10^12 is exact")]
        Count::Other(count) => {
            (count.fract() == 0.0 && (0.0..=MOST as f64).contains(&count)).then_some(count as u64)
        }
        Count::Nothing => Some(0),
    };
    count.filter(|count| *count <= MOST).ok_or_else(|| serde::de::Error::custom("not a count of tokens"))
}

/// Gives a class its part of a whole: never more than is `left` of it.
pub(crate) fn share(usage: &mut Usage, left: &mut u64, class: UsageClass, count: u64) {
    let count = count.min(*left);
    *left -= count;
    usage[class] = count;
}

/// Reads a `usage` member. None if it is null, no object, or holds what is no count.
pub(crate) fn decode(text: &str) -> Option<Usage> {
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    // An object without a figure of either side reports nothing; taken for zero, the call would be free.
    if wire.prompt_tokens == 0 && wire.completion_tokens == 0 {
        return None;
    }
    let prompt = wire.prompt_tokens_details.unwrap_or_default();
    let completion = wire.completion_tokens_details.unwrap_or_default();
    let mut usage = Usage::ZERO;

    let beside = wire.total_tokens.saturating_sub(wire.completion_tokens);
    let prompt_tokens = if wire.prompt_tokens == 0 { beside } else { wire.prompt_tokens };
    let mut left = prompt_tokens;
    let mut share_of_prompt = |class, count| share(&mut usage, &mut left, class, count);
    share_of_prompt(UsageClass::CacheRead, prompt.cached_tokens.max(wire.prompt_cache_hit_tokens));
    share_of_prompt(UsageClass::CacheWrite5m, prompt.cache_write_tokens);
    share_of_prompt(UsageClass::AudioIn, prompt.audio_tokens);
    share_of_prompt(UsageClass::Input, u64::MAX);

    let apart = beside.saturating_sub(prompt_tokens);
    let mut left = wire.completion_tokens.saturating_add(apart);
    let mut share_of_answer = |class, count| share(&mut usage, &mut left, class, count);
    share_of_answer(UsageClass::Reasoning, completion.reasoning_tokens.max(apart));
    share_of_answer(UsageClass::AudioOut, completion.audio_tokens);
    share_of_answer(UsageClass::Output, u64::MAX);
    Some(usage)
}

/// Reads a `usage` member of embeddings, which have a prompt alone. None as in [`decode`].
pub(crate) fn decode_of_prompt(text: &str) -> Option<Usage> {
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    let input = if wire.prompt_tokens == 0 { wire.total_tokens } else { wire.prompt_tokens };
    (input > 0).then(|| [(UsageClass::Input, input)].into_iter().collect())
}

/// The figures that `OpenAI`'s wires have, from classes that are disjoint: what they do not know is in the sums.
pub(crate) struct Sums {
    pub(crate) prompt: u64,
    /// Of the prompt, read from a cache.
    pub(crate) cached: u64,
    /// Of the prompt, written to a cache.
    pub(crate) written: u64,
    pub(crate) answer: u64,
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
        let cached = sum(&[CacheRead, AudioCacheRead, ImageCacheRead]);
        let written = sum(&[CacheWrite5m, CacheWrite1h, CacheWrite12h]);
        let prompt = sum(&[Input, AudioIn, ImageIn, VideoIn]).saturating_add(cached).saturating_add(written);
        Self { prompt, cached, written, answer: sum(&[Output, Reasoning, AudioOut, ImageOut]) }
    }
}

/// Writes the members of a `usage` object.
pub(crate) fn encode(usage: &Usage, object: &mut Object<'_>) {
    use UsageClass::{AudioIn, AudioOut, Reasoning};
    let Sums { prompt, cached, written, answer } = Sums::of(usage);
    object.field("prompt_tokens", &prompt);
    object.field("completion_tokens", &answer);
    object.field("total_tokens", &prompt.saturating_add(answer));
    object.object("prompt_tokens_details", |details| {
        details.field("cached_tokens", &cached);
        if written > 0 {
            details.field("cache_write_tokens", &written);
        }
        details.field("audio_tokens", &usage[AudioIn]);
    });
    object.object("completion_tokens_details", |details| {
        details.field("reasoning_tokens", &usage[Reasoning]);
        details.field("audio_tokens", &usage[AudioOut]);
        details.field("accepted_prediction_tokens", &0);
        details.field("rejected_prediction_tokens", &0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use UsageClass::{AudioIn, AudioOut, CacheRead, CacheWrite5m, Input, Output, Reasoning};

    #[track_caller]
    fn check(wire: &str, expected: &[(UsageClass, u64)]) {
        assert_eq!(decode(wire), Some(expected.iter().copied().collect()), "{wire}");
    }

    #[test]
    fn overlapping_counts_become_disjoint() {
        check(r#"{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}"#, &[(Input, 3), (Output, 5)]);
        check(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
                "prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":10,"audio_tokens":5},
                "completion_tokens_details":{"reasoning_tokens":20,"audio_tokens":10}}"#,
            &[
                (Input, 45),
                (CacheRead, 40),
                (CacheWrite5m, 10),
                (AudioIn, 5),
                (Output, 20),
                (Reasoning, 20),
                (AudioOut, 10),
            ],
        );
        check(r#"{"prompt_tokens":7}"#, &[(Input, 7)]);
    }

    #[test]
    fn figures_that_are_none_are_not_charged() {
        let cases = [
            "null",
            "{}",
            "[]",
            r#"{"prompt_tokens":0,"completion_tokens":0}"#,
            r#"{"prompt_tokens":-5,"completion_tokens":1}"#,
            r#"{"total_tokens":15}"#,
            r#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":15}"#,
            r#"{"prompt_tokens":1.5}"#,
            r#"{"prompt_tokens":1e30}"#,
            r#"{"prompt_tokens":18446744073709551615}"#,
        ];
        for wire in cases {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn embeddings_have_a_prompt_alone() {
        for (wire, input) in [
            (r#"{"prompt_tokens":8,"total_tokens":8}"#, Some(8)),
            (r#"{"total_tokens":1000}"#, Some(1000)),
            (r#"{"prompt_tokens":0,"total_tokens":8}"#, Some(8)),
            (r#"{"prompt_tokens":8,"total_tokens":9}"#, Some(8)),
            (r#"{"prompt_tokens":0,"total_tokens":0}"#, None),
            (r#"{"total_tokens":-1}"#, None),
            ("null", None),
        ] {
            let expected = input.map(|input| [(Input, input)].into_iter().collect());
            assert_eq!(decode_of_prompt(wire), expected, "{wire}");
        }
    }

    #[test]
    fn parts_beyond_their_whole_are_cut() {
        check(
            r#"{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":99,"audio_tokens":9},
                "completion_tokens_details":{"reasoning_tokens":9}}"#,
            &[(CacheRead, 10), (Reasoning, 4)],
        );
    }

    #[test]
    fn vendors_habits_are_read() {
        // DeepSeek.
        check(
            r#"{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":4}"#,
            &[(Input, 6), (CacheRead, 4), (Output, 1)],
        );
        // xAI: reasoning is in the details and the total, not in the completion.
        check(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,
                "completion_tokens_details":{"reasoning_tokens":100}}"#,
            &[(Input, 10), (Output, 5), (Reasoning, 100)],
        );
        // Gemini: in the total alone.
        check(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35}"#,
            &[(Input, 10), (Output, 5), (Reasoning, 20)],
        );
        // The answer and the total: the rest is the prompt.
        check(r#"{"completion_tokens":5,"total_tokens":15}"#, &[(Input, 10), (Output, 5)]);
        // An answer that was thought alone.
        check(
            r#"{"prompt_tokens":10,"completion_tokens":0,"total_tokens":15}"#,
            &[(Input, 10), (Reasoning, 5)],
        );
        // Nulls, floats and negative numbers.
        check(
            r#"{"prompt_tokens":12.0,"completion_tokens":null,"total_tokens":null,"prompt_tokens_details":null}"#,
            &[(Input, 12)],
        );
    }

    #[test]
    fn what_is_no_usage_is_none() {
        for wire in ["null", "[]", "7", "\"x\"", r#"{"prompt_tokens":"many"}"#, r#"{"prompt_tokens":{}}"#] {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn classes_that_openai_does_not_know_are_in_its_sums() {
        let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&usage, object));
        let wire: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(wire["prompt_tokens"], 10);
        assert_eq!(wire["completion_tokens"], 4);
        assert_eq!(wire["total_tokens"], 14);
        assert_eq!(wire["prompt_tokens_details"]["cached_tokens"], 3);
        assert_eq!(wire["prompt_tokens_details"]["cache_write_tokens"], 3);
    }
}
