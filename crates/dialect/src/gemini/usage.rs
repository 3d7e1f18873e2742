//! Token counts ("`UsageMetadata`"). `promptTokenCount` includes what came from a cache; `candidatesTokenCount` excludes
//! what was thought; what the vendor's own tools read (`toolUsePromptTokenCount`) is in neither and is a prompt as well.
//! Details say how many tokens of a whole were sound, pictures or films; parts that exceed their whole are cut to it.

use serde::Deserialize;
use steelyard_core::{Usage, UsageClass};

use crate::json::Object;
use crate::openai_chat::usage::{share, tokens};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire {
    #[serde(deserialize_with = "tokens")]
    prompt_token_count: u64,
    #[serde(deserialize_with = "tokens")]
    candidates_token_count: u64,
    #[serde(deserialize_with = "tokens")]
    thoughts_token_count: u64,
    #[serde(deserialize_with = "tokens")]
    cached_content_token_count: u64,
    #[serde(deserialize_with = "tokens")]
    tool_use_prompt_token_count: u64,
    prompt_tokens_details: Option<Vec<Detail>>,
    cache_tokens_details: Option<Vec<Detail>>,
    candidates_tokens_details: Option<Vec<Detail>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    modality: String,
    #[serde(default, deserialize_with = "tokens")]
    token_count: u64,
}

fn of_modality(details: Option<&Vec<Detail>>, modality: &str) -> u64 {
    details
        .into_iter()
        .flatten()
        .filter(|detail| detail.modality.eq_ignore_ascii_case(modality))
        .fold(0, |sum, detail| sum.saturating_add(detail.token_count))
}

/// Reads a `usageMetadata` member. None if it is no object, holds what is no count, or nothing but zeros: taken at its
/// word, a broken answer would be free.
pub(crate) fn decode(text: &str) -> Option<Usage> {
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, ImageCacheRead, ImageIn, ImageOut, Input, Output,
        Reasoning, VideoIn,
    };
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    let mut usage = Usage::ZERO;
    let mut share = |left: &mut u64, class, count| share(&mut usage, left, class, count);
    let cache = wire.cache_tokens_details.as_ref();
    let prompt = wire.prompt_tokens_details.as_ref();
    let mut cached = wire.cached_content_token_count.min(wire.prompt_token_count);
    let mut fresh = wire.prompt_token_count - cached;
    for (modality, of_cache, of_prompt) in [
        ("AUDIO", Some(AudioCacheRead), AudioIn),
        ("IMAGE", Some(ImageCacheRead), ImageIn),
        ("VIDEO", None, VideoIn),
    ] {
        let from_cache = of_modality(cache, modality);
        if let Some(class) = of_cache {
            share(&mut cached, class, from_cache);
        }
        share(&mut fresh, of_prompt, of_modality(prompt, modality).saturating_sub(from_cache));
    }
    share(&mut cached, CacheRead, u64::MAX);
    fresh = fresh.saturating_add(wire.tool_use_prompt_token_count);
    share(&mut fresh, Input, u64::MAX);
    let mut answer = wire.candidates_token_count;
    let said = wire.candidates_tokens_details.as_ref();
    share(&mut answer, AudioOut, of_modality(said, "AUDIO"));
    share(&mut answer, ImageOut, of_modality(said, "IMAGE"));
    share(&mut answer, Output, u64::MAX);
    usage[Reasoning] = wire.thoughts_token_count;
    (!usage.is_zero()).then_some(usage)
}

/// The tier that served a call, as its figures tell it.
pub(crate) fn tier(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Tier {
        service_tier: Option<String>,
    }
    let tier: Tier = serde_json::from_str(text).ok()?;
    super::service_tier(&tier.service_tier?).map(str::to_owned)
}

/// Writes the members of a `usageMetadata` object.
pub(crate) fn encode(usage: &Usage, object: &mut Object<'_>) {
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h,
        ImageCacheRead, ImageIn, ImageOut, Input, Output, Reasoning, VideoIn,
    };
    let sum =
        |classes: &[UsageClass]| classes.iter().fold(0_u64, |sum, class| sum.saturating_add(usage[*class]));
    let cached = sum(&[CacheRead, AudioCacheRead, ImageCacheRead]);
    // What was written to a cache has no name here; it is a prompt like any other.
    let prompt = sum(&[Input, AudioIn, ImageIn, VideoIn, CacheWrite5m, CacheWrite1h, CacheWrite12h])
        .saturating_add(cached);
    let answer = sum(&[Output, AudioOut, ImageOut]);
    let thoughts = usage[Reasoning];
    let some = |count: u64| (count > 0).then_some(count);
    object.field("promptTokenCount", &prompt);
    object.field("candidatesTokenCount", &answer);
    object.opt("cachedContentTokenCount", some(cached).as_ref());
    object.opt("thoughtsTokenCount", some(thoughts).as_ref());
    object.field("totalTokenCount", &prompt.saturating_add(answer).saturating_add(thoughts));
    let details: [(&str, &[(&str, u64)]); 3] = [
        (
            "promptTokensDetails",
            &[
                ("AUDIO", sum(&[AudioIn, AudioCacheRead])),
                ("IMAGE", sum(&[ImageIn, ImageCacheRead])),
                ("VIDEO", usage[VideoIn]),
            ],
        ),
        ("cacheTokensDetails", &[("AUDIO", usage[AudioCacheRead]), ("IMAGE", usage[ImageCacheRead])]),
        ("candidatesTokensDetails", &[("AUDIO", usage[AudioOut]), ("IMAGE", usage[ImageOut])]),
    ];
    for (name, all) in details {
        let told = all.iter().filter(|(_, count)| *count > 0);
        if told.clone().next().is_some() {
            object.objects(name, told, |detail, (modality, count)| {
                detail.field("modality", modality);
                detail.field("tokenCount", count);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UsageClass::{
        AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite5m, ImageIn, Input, Output, Reasoning,
        VideoIn,
    };

    #[track_caller]
    fn check(wire: &str, expected: &[(UsageClass, u64)]) {
        assert_eq!(decode(wire), Some(expected.iter().copied().collect()), "{wire}");
    }

    #[test]
    fn a_prompt_includes_the_cache_and_an_answer_no_thoughts() {
        check(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"candidatesTokenCount":7,"thoughtsTokenCount":5,"totalTokenCount":112}"#,
            &[(Input, 40), (CacheRead, 60), (Output, 7), (Reasoning, 5)],
        );
        check(
            r#"{"promptTokenCount":10,"toolUsePromptTokenCount":30,"candidatesTokenCount":7.0,"thoughtsTokenCount":null}"#,
            &[(Input, 40), (Output, 7)],
        );
        // More from the cache than there is.
        check(r#"{"promptTokenCount":10,"cachedContentTokenCount":60}"#, &[(CacheRead, 10)]);
    }

    #[test]
    fn media_are_told_apart_within_their_whole() {
        check(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":9,
                "promptTokensDetails":[{"modality":"TEXT","tokenCount":10},{"modality":"AUDIO","tokenCount":50},
                    {"modality":"IMAGE","tokenCount":30},{"modality":"VIDEO","tokenCount":10},{"modality":"DOCUMENT"}],
                "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":40}],
                "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":4}]}"#,
            &[
                (AudioCacheRead, 40),
                (AudioIn, 10),
                (ImageIn, 30),
                (VideoIn, 10),
                (Input, 10),
                (AudioOut, 4),
                (Output, 5),
            ],
        );
        check(
            r#"{"promptTokenCount":10,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":50}]}"#,
            &[(AudioIn, 10)],
        );
    }

    #[test]
    fn figures_that_are_none_are_not_charged() {
        for wire in [
            "null",
            "{}",
            "[]",
            r#"{"promptTokenCount":0}"#,
            r#"{"promptTokenCount":-5}"#,
            r#"{"promptTokenCount":1.5}"#,
        ] {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_adds_up() {
        let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&usage, object));
        let text = String::from_utf8(out).unwrap();
        let wire: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (wire["promptTokenCount"].as_u64(), wire["totalTokenCount"].as_u64()),
            (Some(10), Some(14))
        );
        let again = decode(&text).unwrap();
        assert_eq!((again[AudioIn], again[AudioCacheRead], again[CacheRead], again[Reasoning]), (1, 1, 1, 1));
        // What was written to caches is input here.
        assert_eq!((again[Input], again[CacheWrite5m]), (4, 0));
    }
}
