//! Token counts: OpenAI's overlap, ours are disjoint.
//!
//! `input_tokens` includes cached and cache-written tokens; `output_tokens` includes reasoning. Parts that add up to more
//! than their whole are cut to it. Searches that the vendor ran are counted by their items, for no figure tells them.

use serde::Deserialize;
use serde_json::value::RawValue;
use steelyard_core::{Usage, UsageClass};

use crate::json::Object;
use crate::openai_chat::usage::{Sums, share, tokens};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wire {
    #[serde(deserialize_with = "tokens")]
    input_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    output_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    #[serde(deserialize_with = "tokens")]
    cached_tokens: u64,
    #[serde(deserialize_with = "tokens")]
    cache_write_tokens: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    #[serde(deserialize_with = "tokens")]
    reasoning_tokens: u64,
}

/// Reads a `usage` member, and counts the searches among the items of `output`. None if there are no figures.
pub(crate) fn decode(usage: Option<&RawValue>, output: Option<&RawValue>) -> Option<Usage> {
    let mut used = figures(usage?.get())?;
    used[UsageClass::WebSearch] = output.map_or(0, searches);
    Some(used)
}

/// Reads a `usage` member.
pub(crate) fn figures(text: &str) -> Option<Usage> {
    if !text.starts_with('{') {
        return None;
    }
    let wire: Wire = serde_json::from_str(text).ok()?;
    // An object without a single figure reports nothing; taken for zero, the call would be free.
    if wire.input_tokens == 0 && wire.output_tokens == 0 {
        return None;
    }
    let (input, output_details) =
        (wire.input_tokens_details.unwrap_or_default(), wire.output_tokens_details.unwrap_or_default());
    let mut used = Usage::ZERO;
    let (mut prompt, mut answer) = (wire.input_tokens, wire.output_tokens);
    share(&mut used, &mut prompt, UsageClass::CacheRead, input.cached_tokens);
    share(&mut used, &mut prompt, UsageClass::CacheWrite5m, input.cache_write_tokens);
    share(&mut used, &mut prompt, UsageClass::Input, u64::MAX);
    share(&mut used, &mut answer, UsageClass::Reasoning, output_details.reasoning_tokens);
    share(&mut used, &mut answer, UsageClass::Output, u64::MAX);
    Some(used)
}

/// The searches among the items. To open a page that was found, or to look for words in it, is no search.
fn searches(output: &RawValue) -> u64 {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, rename = "type", default)]
        kind: Option<&'a RawValue>,
        #[serde(borrow, default)]
        action: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Action<'a> {
        #[serde(borrow, rename = "type", default)]
        kind: Option<&'a RawValue>,
    }
    let items: Vec<Item<'_>> = serde_json::from_str(output.get()).unwrap_or_default();
    let is = |raw: Option<&RawValue>, word: &str| raw.is_some_and(|raw| raw.get() == word);
    let is_search = |action: &RawValue| match serde_json::from_str::<Action<'_>>(action.get()) {
        Ok(action) => action.kind.is_none() || is(action.kind, "\"search\""),
        Err(_) => true,
    };
    let found = items.iter().filter(|item| is(item.kind, "\"web_search_call\""));
    found.filter(|item| item.action.is_none_or(is_search)).count() as u64
}

/// Writes the members of a `usage` object. SDKs add the details up, so they are always there.
pub(crate) fn encode(usage: &Usage, object: &mut Object<'_>) {
    let Sums { prompt: input, cached, written, answer: output } = Sums::of(usage);
    object.field("input_tokens", &input);
    object.object("input_tokens_details", |details| {
        details.field("cached_tokens", &cached);
        details.field("cache_write_tokens", &written);
    });
    object.field("output_tokens", &output);
    object.object("output_tokens_details", |details| {
        details.field("reasoning_tokens", &usage[UsageClass::Reasoning]);
    });
    object.field("total_tokens", &input.saturating_add(output));
}

#[cfg(test)]
mod tests {
    use super::*;
    use UsageClass::{CacheRead, CacheWrite5m, Input, Output, Reasoning, WebSearch};

    #[track_caller]
    fn check(usage: &str, output: &str, expected: &[(UsageClass, u64)]) {
        let read = |text| serde_json::from_str::<&RawValue>(text).unwrap();
        let expected = (!expected.is_empty()).then(|| expected.iter().copied().collect());
        assert_eq!(decode(Some(read(usage)), Some(read(output))), expected, "{usage}");
    }

    #[test]
    fn overlapping_counts_become_disjoint() {
        check(r#"{"input_tokens":3,"output_tokens":5}"#, "[]", &[(Input, 3), (Output, 5)]);
        check(
            r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":40,"cache_write_tokens":10},
                "output_tokens":50,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":150}"#,
            "null",
            &[(Input, 50), (CacheRead, 40), (CacheWrite5m, 10), (Output, 30), (Reasoning, 20)],
        );
        check(
            r#"{"input_tokens":1,"input_tokens_details":{"cached_tokens":9},"output_tokens":2,
                "output_tokens_details":{"reasoning_tokens":9}}"#,
            "[]",
            &[(CacheRead, 1), (Reasoning, 2)],
        );
    }

    #[test]
    fn figures_that_are_none_are_not_charged() {
        for usage in ["null", "{}", "[]", r#"{"input_tokens":-1}"#, r#"{"input_tokens":{}}"#] {
            check(usage, "[]", &[]);
        }
    }

    #[test]
    fn searches_are_counted_and_opened_pages_are_not() {
        check(
            r#"{"input_tokens":1,"output_tokens":1}"#,
            r#"[{"type":"web_search_call","action":{"type":"search","query":"a"}},{"type":"web_search_call"},
                {"type":"web_search_call","action":{"type":"open_page"}},{"type":"message","content":[]}]"#,
            &[(Input, 1), (Output, 1), (WebSearch, 2)],
        );
    }

    #[test]
    fn classes_that_openai_does_not_know_are_in_its_sums() {
        let usage: Usage = UsageClass::ALL.iter().map(|class| (*class, 1)).collect();
        let mut out = Vec::new();
        Object::write(&mut out, |object| encode(&usage, object));
        let wire: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&wire["input_tokens"], &wire["output_tokens"]), (&10.into(), &4.into()));
        assert_eq!(wire["input_tokens_details"]["cached_tokens"], 3);
        assert_eq!(wire["total_tokens"], 14);
    }
}
