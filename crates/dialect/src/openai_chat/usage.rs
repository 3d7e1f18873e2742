//! Token counts: OpenAI's overlap, ours are disjoint.
//!
//! `prompt_tokens` includes cached, cache-written and audio tokens; `completion_tokens` includes reasoning and
//! audio (OpenAI's API reference). Parts that add up to more than their whole are cut to it, never below zero.
//! Two vendors leave reasoning out of `completion_tokens` and count it in `total_tokens`: xAI, which also gives
//! it in the details, and Gemini's compatible endpoint, which does not. The total tells.

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
    /// DeepSeek's name for cached tokens.
    #[serde(deserialize_with = "tokens")]
    prompt_cache_hit_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
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

/// A count as vendors write it: null is zero, a float is cut, less than nothing is nothing.
fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Whole(u64),
        Other(f64),
        Nothing,
    }
    Ok(match Count::deserialize(deserializer)? {
        Count::Whole(count) => count,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, as wanted")]
        Count::Other(count) => count as u64,
        Count::Nothing => 0,
    })
}

/// Reads a `usage` member. None if it is null, no object, or holds what is no count.
pub(crate) fn decode(text: &str) -> Option<Usage> {
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    let prompt = wire.prompt_tokens_details.unwrap_or_default();
    let completion = wire.completion_tokens_details.unwrap_or_default();
    let mut usage = Usage::ZERO;

    let mut left = wire.prompt_tokens;
    let mut share = |class, count: u64| {
        let count = count.min(left);
        left -= count;
        usage[class] = count;
    };
    share(UsageClass::CacheRead, prompt.cached_tokens.max(wire.prompt_cache_hit_tokens));
    share(UsageClass::CacheWrite5m, prompt.cache_write_tokens);
    share(UsageClass::AudioIn, prompt.audio_tokens);
    share(UsageClass::Input, u64::MAX);

    let apart = wire.total_tokens.saturating_sub(wire.prompt_tokens.saturating_add(wire.completion_tokens));
    let mut left = wire.completion_tokens.saturating_add(apart);
    let mut share = |class, count: u64| {
        let count = count.min(left);
        left -= count;
        usage[class] = count;
    };
    share(UsageClass::Reasoning, completion.reasoning_tokens.max(apart));
    share(UsageClass::AudioOut, completion.audio_tokens);
    share(UsageClass::Output, u64::MAX);
    Some(usage)
}

/// Writes the members of a `usage` object.
pub(crate) fn encode(usage: &Usage, object: &mut Object<'_>) {
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h, ImageCacheRead,
        ImageIn, ImageOut, Input, Output, Reasoning, VideoIn,
    };
    let sum = |classes: &[UsageClass]| {
        classes.iter().fold(0_u64, |sum, class| sum.saturating_add(usage[*class]))
    };
    let cached = sum(&[CacheRead, AudioCacheRead, ImageCacheRead]);
    let written = sum(&[CacheWrite5m, CacheWrite1h, CacheWrite12h]);
    let prompt = sum(&[Input, AudioIn, ImageIn, VideoIn]).saturating_add(cached).saturating_add(written);
    let completion = sum(&[Output, Reasoning, AudioOut, ImageOut]);
    object.field("prompt_tokens", &prompt);
    object.field("completion_tokens", &completion);
    object.field("total_tokens", &prompt.saturating_add(completion));
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
