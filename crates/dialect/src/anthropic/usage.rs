//! Token counts: Anthropic's are nearly disjoint, ours are.
//!
//! `input_tokens` is the uncached part of the prompt alone; `output_tokens` includes thinking (Anthropic's API
//! reference, "Usage"). A stream tells its figures twice: those of the prompt when it begins, all of them
//! cumulatively when it ends. A later figure replaces the earlier one, and what is not told again stays.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use steelyard_core::{Usage, UsageClass};

use crate::json::Object;

/// The figures of a call so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    input: Option<u64>,
    cache_write: Option<u64>,
    cache_write_5m: Option<u64>,
    cache_write_1h: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    web_searches: Option<u64>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    cache_creation: Option<Split>,
    #[serde(default)]
    output_tokens_details: Option<Details>,
    #[serde(default)]
    server_tool_use: Option<Tools>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    speed: Option<&'a RawValue>,
    #[serde(borrow, default)]
    inference_geo: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Split {
    #[serde(default)]
    ephemeral_5m_input_tokens: Count,
    #[serde(default)]
    ephemeral_1h_input_tokens: Count,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    thinking_tokens: Count,
}

#[derive(Deserialize)]
struct Tools {
    #[serde(default)]
    web_search_requests: Count,
}

/// A count as vendors write it: null is none, `12.0` is twelve. What is no count makes the figures unreadable, so
/// that nobody is charged by them.
#[derive(Default, Clone, Copy)]
struct Count(Option<u64>);

/// More than any call can use: a larger figure is a defect, not a bill.
const MOST: u64 = 1_000_000_000_000;

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(count) = Option::<f64>::deserialize(deserializer)? else { return Ok(Self(None)) };
        #[expect(clippy::cast_precision_loss, reason = "10^12 is exact")]
        let good = count.fract() == 0.0 && (0.0..=MOST as f64).contains(&count);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in range, as checked"
        )]
        let whole = count as u64;
        if good { Ok(Self(Some(whole))) } else { Err(serde::de::Error::custom("not a count of tokens")) }
    }
}

impl Figures {
    /// Takes the figures of a `usage` member over. False if it is null, no object, or holds what is no count.
    pub(crate) fn take(&mut self, text: &str) -> bool {
        let Ok(Some(wire)) = serde_json::from_str::<Option<Wire<'_>>>(text) else { return false };
        let put = |slot: &mut Option<u64>, Count(count): Count| *slot = count.or(*slot);
        put(&mut self.input, wire.input_tokens);
        put(&mut self.cache_write, wire.cache_creation_input_tokens);
        put(&mut self.cache_read, wire.cache_read_input_tokens);
        put(&mut self.output, wire.output_tokens);
        if let Some(split) = wire.cache_creation {
            put(&mut self.cache_write_5m, split.ephemeral_5m_input_tokens);
            put(&mut self.cache_write_1h, split.ephemeral_1h_input_tokens);
        }
        if let Some(details) = wire.output_tokens_details {
            put(&mut self.thinking, details.thinking_tokens);
        }
        if let Some(tools) = wire.server_tool_use {
            put(&mut self.web_searches, tools.web_search_requests);
        }
        true
    }

    /// The disjoint classes. None if there are no figures: a vendor that counts nothing tells nothing.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let count = |figure: Option<u64>| figure.unwrap_or(0);
        let split = count(self.cache_write_5m).saturating_add(count(self.cache_write_1h));
        // Without a split, all of it is taken for the shorter, cheaper lifetime, which is the usual one.
        let written = self.cache_write.unwrap_or(split);
        let hour = count(self.cache_write_1h).min(written);
        let output = count(self.output);
        let thinking = count(self.thinking).min(output);
        let mut usage = Usage::default();
        usage[UsageClass::Input] = count(self.input);
        usage[UsageClass::CacheRead] = count(self.cache_read);
        usage[UsageClass::CacheWrite5m] = written - hour;
        usage[UsageClass::CacheWrite1h] = hour;
        usage[UsageClass::Output] = output - thinking;
        usage[UsageClass::Reasoning] = thinking;
        usage[UsageClass::WebSearch] = count(self.web_searches);
        (usage != Usage::default()).then_some(usage)
    }
}

/// Reads a `usage` member. None if it is null, no object, or holds what is no count.
pub(crate) fn decode(text: &str) -> Option<Usage> {
    let mut figures = Figures::default();
    figures.take(text);
    figures.usage()
}

/// How a call was served, which decides its price.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// The tier. The faster speed has a price of its own, as a tier has.
    pub(crate) tier: Option<String>,
    /// Where.
    pub(crate) geo: Option<String>,
}

/// What a `usage` member tells of how the call was served.
pub(crate) fn served(text: &str) -> Served {
    let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else { return Served::default() };
    let word = |raw: Option<&RawValue>| {
        raw.and_then(crate::json::string).filter(|word| !word.is_empty()).map(std::borrow::Cow::into_owned)
    };
    let fast = word(wire.speed).filter(|speed| speed == "fast");
    // Models that are older than the choice say that there is none.
    let geo = word(wire.inference_geo).filter(|geo| geo != "not_available");
    Served { tier: fast.or_else(|| word(wire.service_tier)), geo }
}

/// Sums of our classes in Anthropic's words.
struct Sums {
    input: u64,
    cache_read: u64,
    written_5m: u64,
    written_1h: u64,
    output: u64,
}

impl Sums {
    fn of(usage: &Usage) -> Self {
        use UsageClass::{
            AudioCacheRead, AudioIn, AudioOut, CacheRead, CacheWrite1h, CacheWrite5m, CacheWrite12h,
            ImageCacheRead, ImageIn, ImageOut, Input, Output, Reasoning, VideoIn,
        };
        let sum = |classes: &[UsageClass]| {
            classes.iter().fold(0_u64, |sum, class| sum.saturating_add(usage[*class]))
        };
        Self {
            input: sum(&[Input, AudioIn, ImageIn, VideoIn]),
            cache_read: sum(&[CacheRead, AudioCacheRead, ImageCacheRead]),
            written_5m: usage[CacheWrite5m],
            written_1h: sum(&[CacheWrite1h, CacheWrite12h]),
            output: sum(&[Output, Reasoning, AudioOut, ImageOut]),
        }
    }
}

/// Writes the members of a `usage` object of a whole answer.
pub(crate) fn encode(usage: &Usage, service_tier: Option<&str>, object: &mut Object<'_>) {
    write(usage, service_tier, true, object);
}

/// The same at the beginning of a stream. Most vendors tell only at the end what was written to a cache, and the SDKs keep
/// what the beginning said of its lifetimes: where nothing is known yet, nothing is said.
pub(crate) fn encode_start(usage: &Usage, service_tier: Option<&str>, object: &mut Object<'_>) {
    let sums = Sums::of(usage);
    write(usage, service_tier, sums.written_5m > 0 || sums.written_1h > 0, object);
}

fn write(usage: &Usage, service_tier: Option<&str>, lifetimes: bool, object: &mut Object<'_>) {
    let sums = Sums::of(usage);
    object.field("input_tokens", &sums.input);
    object.field("cache_creation_input_tokens", &sums.written_5m.saturating_add(sums.written_1h));
    object.field("cache_read_input_tokens", &sums.cache_read);
    if lifetimes {
        object.object("cache_creation", |split| {
            split.field("ephemeral_5m_input_tokens", &sums.written_5m);
            split.field("ephemeral_1h_input_tokens", &sums.written_1h);
        });
    }
    object.field("output_tokens", &sums.output);
    details(usage, object);
    object
        .opt("service_tier", service_tier.filter(|tier| matches!(*tier, "standard" | "priority" | "batch")));
    object.opt("speed", service_tier.filter(|tier| *tier == "fast"));
}

/// Writes the members of the `usage` object at the end of a stream, which repeats the figures of the prompt.
pub(crate) fn encode_delta(usage: &Usage, object: &mut Object<'_>) {
    let sums = Sums::of(usage);
    object.field("input_tokens", &sums.input);
    object.field("cache_creation_input_tokens", &sums.written_5m.saturating_add(sums.written_1h));
    object.field("cache_read_input_tokens", &sums.cache_read);
    // Not in the reference of this event, but vendors tell it late, and the beginning of the stream said that there was
    // none; without it an hour's cache would read as five minutes'.
    if sums.written_5m > 0 || sums.written_1h > 0 {
        object.object("cache_creation", |split| {
            split.field("ephemeral_5m_input_tokens", &sums.written_5m);
            split.field("ephemeral_1h_input_tokens", &sums.written_1h);
        });
    }
    object.field("output_tokens", &sums.output);
    details(usage, object);
}

fn details(usage: &Usage, object: &mut Object<'_>) {
    if usage[UsageClass::Reasoning] > 0 {
        object.object("output_tokens_details", |details| {
            details.field("thinking_tokens", &usage[UsageClass::Reasoning]);
        });
    }
    if usage[UsageClass::WebSearch] > 0 {
        object.object("server_tool_use", |tools| {
            tools.field("web_search_requests", &usage[UsageClass::WebSearch]);
            tools.field("web_fetch_requests", &0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UsageClass::{CacheRead, CacheWrite1h, CacheWrite5m, Input, Output, Reasoning, WebSearch};

    #[test]
    fn how_it_was_served_is_what_decides_the_price() {
        let check = |wire: &str, tier: Option<&str>, geo: Option<&str>| {
            let expected = Served { tier: tier.map(str::to_owned), geo: geo.map(str::to_owned) };
            assert_eq!(served(wire), expected, "{wire}");
        };
        check(r#"{"service_tier":"priority"}"#, Some("priority"), None);
        check(r#"{"service_tier":"standard","speed":"fast","inference_geo":"us"}"#, Some("fast"), Some("us"));
        check(r#"{"service_tier":"standard","speed":"standard"}"#, Some("standard"), None);
        check(r#"{"speed":null,"inference_geo":"not_available"}"#, None, None);
        check("null", None, None);
    }

    #[track_caller]
    fn check(wire: &str, expected: &[(UsageClass, u64)]) {
        assert_eq!(decode(wire), Some(expected.iter().copied().collect()), "{wire}");
    }

    #[test]
    fn counts_become_disjoint_classes() {
        check(r#"{"input_tokens":3,"output_tokens":5}"#, &[(Input, 3), (Output, 5)]);
        check(
            r#"{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":40,
                "cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":10},
                "output_tokens":50,"output_tokens_details":{"thinking_tokens":20},
                "server_tool_use":{"web_search_requests":2,"web_fetch_requests":1},"service_tier":"standard"}"#,
            &[
                (Input, 10),
                (CacheWrite5m, 20),
                (CacheWrite1h, 10),
                (CacheRead, 40),
                (Output, 30),
                (Reasoning, 20),
                (WebSearch, 2),
            ],
        );
        check(
            r#"{"input_tokens":1,"cache_creation_input_tokens":7,"cache_creation":null}"#,
            &[(Input, 1), (CacheWrite5m, 7)],
        );
        check(r#"{"cache_creation":{"ephemeral_1h_input_tokens":4}}"#, &[(CacheWrite1h, 4)]);
        check(r#"{"input_tokens":12.0,"output_tokens":null}"#, &[(Input, 12)]);
    }

    #[test]
    fn parts_beyond_their_whole_are_cut() {
        check(r#"{"output_tokens":5,"output_tokens_details":{"thinking_tokens":9}}"#, &[(Reasoning, 5)]);
        check(
            r#"{"cache_creation_input_tokens":5,"cache_creation":{"ephemeral_1h_input_tokens":9}}"#,
            &[(CacheWrite1h, 5)],
        );
    }

    #[test]
    fn figures_that_are_none_are_not_charged() {
        for wire in [
            "null",
            "[]",
            "7",
            "{}",
            r#"{"input_tokens":0,"output_tokens":0}"#,
            r#"{"input_tokens":-5,"output_tokens":1}"#,
            r#"{"input_tokens":1.5}"#,
            r#"{"input_tokens":1e30}"#,
            r#"{"input_tokens":"many"}"#,
            r#"{"input_tokens":18446744073709551615}"#,
        ] {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }

    #[test]
    fn later_figures_replace_earlier_ones() {
        let mut figures = Figures::default();
        assert!(figures.take(
            r#"{"input_tokens":10,"cache_creation_input_tokens":8,"cache_creation":{"ephemeral_1h_input_tokens":8},"output_tokens":1}"#
        ));
        assert!(figures.take(r#"{"output_tokens":20}"#));
        assert!(!figures.take(r#"{"output_tokens":-1}"#));
        assert_eq!(
            figures.usage(),
            Some([(Input, 10), (CacheWrite1h, 8), (Output, 20)].into_iter().collect())
        );
        assert!(figures.take(r#"{"input_tokens":11,"cache_creation_input_tokens":9,"output_tokens":21}"#));
        assert_eq!(
            figures.usage(),
            Some([(Input, 11), (CacheWrite5m, 1), (CacheWrite1h, 8), (Output, 21)].into_iter().collect())
        );
    }

    #[test]
    fn classes_that_anthropic_does_not_know_are_in_its_sums() {
        let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&usage, Some("flex"), object));
        let wire: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(wire["input_tokens"], 4);
        assert_eq!(wire["cache_read_input_tokens"], 3);
        assert_eq!(wire["cache_creation_input_tokens"], 3);
        assert_eq!(wire["output_tokens"], 4);
        assert_eq!(wire["server_tool_use"]["web_search_requests"], 1);
        assert_eq!(wire.get("service_tier"), None);
    }
}
