//! What vendors say, in each client's words; and what the ledger says of it.

use serde_json::{Value, json};
use steelyard_testkit::{Chat, Entry, Wire, chat};

use super::read::{Said, said};
use super::{Pair, World, hi, hi_with_tools, world};

/// Lets the vendor say something and reads it as the client.
async fn hear(world: &World, pair: Pair, chat: Chat) -> (Said, Entry) {
    world.vendor(pair.vendor).next(chat);
    let answer = world.ask(pair, &hi_with_tools(pair.client)).await;
    let said = said(pair, &answer);
    let entry = world.server.entry(answer.request_id()).await;
    assert_eq!(entry.outcome, "ok", "{pair:?}: {entry:#?}");
    (said, entry)
}

#[tokio::test]
async fn texts_come_through() {
    let world = world().await;
    for pair in Pair::all() {
        let (said, _) =
            hear(&world, pair, chat().texts(["Good ", "day, ", "ünï 😀", "\n\"quoted\"\n"])).await;
        assert_eq!(said.text, "Good day, ünï 😀\n\"quoted\"\n", "{pair:?}");
        let stop = match pair.client {
            Wire::OpenAi => "stop",
            Wire::Anthropic | Wire::Bedrock => "end_turn",
            Wire::Gemini => "STOP",
        };
        assert_eq!(said.stop, stop, "{pair:?}");
    }
}

#[tokio::test]
async fn parallel_calls_keep_ids_names_and_inputs() {
    let world = world().await;
    let city = json!({ "city": "Lübeck", "deep": { "x": [1, 2.5, null], "y": "\u{7}\"" } });
    for pair in Pair::all() {
        let script = chat().text("Let me see.").tool("call_1", "f", &city).tool("call_2", "g", &json!({}));
        let (said, _) = hear(&world, pair, script).await;
        let ids: Vec<&str> = said.calls.iter().map(|(id, ..)| id.as_str()).collect();
        match (pair.vendor, pair.client) {
            // Google gives calls no ids; clients of other wires need some.
            (Wire::Gemini, Wire::Gemini) => assert_eq!(ids, ["", ""], "{pair:?}"),
            (Wire::Gemini, _) => assert!(!ids[0].is_empty() && ids[0] != ids[1], "{pair:?}: {ids:?}"),
            _ => assert_eq!(ids, ["call_1", "call_2"], "{pair:?}"),
        }
        let calls: Vec<_> =
            said.calls.iter().map(|(_, name, input)| (name.as_str(), input.clone())).collect();
        assert_eq!(calls, [("f", city.clone()), ("g", json!({}))], "{pair:?}");
        assert_eq!(said.text, "Let me see.", "{pair:?}");
        let stop = match pair.client {
            Wire::OpenAi => "tool_calls",
            Wire::Anthropic | Wire::Bedrock => "tool_use",
            Wire::Gemini => "STOP",
        };
        assert_eq!(said.stop, stop, "{pair:?}");
    }
}

#[tokio::test]
async fn reasoning_and_its_proofs_come_through() {
    let world = world().await;
    for pair in Pair::all() {
        let script = chat().reasoning_text("Let me ").reasoning_text("think.").signature("c2lnbmVk");
        // Google hides no thoughts.
        let script = if pair.vendor == Wire::Gemini { script } else { script.redacted("aGlkZGVu") };
        let (said, _) = hear(&world, pair, script.text("42")).await;
        assert_eq!((said.thinking.as_str(), said.text.as_str()), ("Let me think.", "42"), "{pair:?}");
        let (signature, redacted): (_, &[&str]) = match (pair.vendor, pair.client) {
            (Wire::Gemini, Wire::Gemini) => ("c2lnbmVk", &[]),
            // Each proof means something to its own vendor, and Gemini's wire and the others have no word for each other's.
            (Wire::OpenAi | Wire::Gemini, _) | (_, Wire::Gemini) => ("", &[]),
            (Wire::Anthropic | Wire::Bedrock, _) => ("c2lnbmVk", &["aGlkZGVu"]),
        };
        assert_eq!(said.signature, signature, "{pair:?}");
        assert_eq!(said.redacted, redacted, "{pair:?}");
    }
}

#[tokio::test]
async fn stop_reasons_are_those_of_the_clients_wire() {
    let world = world().await;
    // What the vendor says, then what a client of OpenAI's, Anthropic's, Bedrock's and Gemini's wire reads.
    let cases = [
        (Wire::OpenAi, "length", ["length", "max_tokens", "max_tokens", "MAX_TOKENS"]),
        (Wire::OpenAi, "content_filter", ["content_filter", "refusal", "content_filtered", "SAFETY"]),
        (Wire::Anthropic, "max_tokens", ["length", "max_tokens", "max_tokens", "MAX_TOKENS"]),
        (Wire::Anthropic, "refusal", ["content_filter", "refusal", "content_filtered", "SAFETY"]),
        (Wire::Anthropic, "pause_turn", ["stop", "pause_turn", "end_turn", "STOP"]),
        (
            Wire::Anthropic,
            "model_context_window_exceeded",
            ["length", "model_context_window_exceeded", "model_context_window_exceeded", "MAX_TOKENS"],
        ),
        (Wire::Bedrock, "max_tokens", ["length", "max_tokens", "max_tokens", "MAX_TOKENS"]),
        (Wire::Bedrock, "content_filtered", ["content_filter", "refusal", "content_filtered", "SAFETY"]),
        (
            Wire::Bedrock,
            "guardrail_intervened",
            ["content_filter", "refusal", "guardrail_intervened", "SAFETY"],
        ),
        (
            Wire::Bedrock,
            "model_context_window_exceeded",
            ["length", "model_context_window_exceeded", "model_context_window_exceeded", "MAX_TOKENS"],
        ),
        (Wire::Gemini, "MAX_TOKENS", ["length", "max_tokens", "max_tokens", "MAX_TOKENS"]),
        (Wire::Gemini, "SAFETY", ["content_filter", "refusal", "content_filtered", "SAFETY"]),
        (Wire::Gemini, "RECITATION", ["content_filter", "refusal", "content_filtered", "RECITATION"]),
        (Wire::Gemini, "OTHER", ["stop", "end_turn", "end_turn", "OTHER"]),
    ];
    for (vendor, word, read) in cases {
        for pair in Pair::all().filter(|pair| pair.vendor == vendor) {
            let (said, _) = hear(&world, pair, chat().text("a").finish(word)).await;
            let place = Wire::ALL.iter().position(|wire| *wire == pair.client).unwrap();
            assert_eq!(said.stop, read[place], "{pair:?} {word}");
        }
    }
}

#[tokio::test]
async fn a_stop_sequence_is_named_where_both_wires_can() {
    let world = world().await;
    // OpenAI and Google say of both ends the same.
    for pair in Pair::all().filter(|pair| !matches!(pair.vendor, Wire::OpenAi | Wire::Gemini)) {
        world.vendor(pair.vendor).next(chat().text("a").stop_sequence("END"));
        let mut body = hi(pair.client);
        match pair.client {
            Wire::OpenAi => body["stop"] = json!(["END"]),
            Wire::Anthropic => body["stop_sequences"] = json!(["END"]),
            Wire::Gemini => body["generationConfig"] = json!({ "stopSequences": ["END"] }),
            Wire::Bedrock => {
                body["inferenceConfig"] = json!({ "stopSequences": ["END"] });
                body["additionalModelResponseFieldPaths"] = json!(["/stop_sequence"]);
            }
        }
        let said = said(pair, &world.ask(pair, &body).await);
        match pair.client {
            Wire::OpenAi => assert_eq!(said.stop, "stop", "{pair:?}"),
            Wire::Gemini => assert_eq!(said.stop, "STOP", "{pair:?}"),
            Wire::Anthropic | Wire::Bedrock => assert_eq!(said.stop, "stop_sequence", "{pair:?}"),
        }
        // Of Bedrock's models only Claude tells which it was, and only if asked.
        if matches!(pair.client, Wire::Anthropic | Wire::Bedrock) && pair.vendor == Wire::Anthropic {
            assert_eq!(said.stop_sequence.as_deref(), Some("END"), "{pair:?}");
        }
    }
}

#[tokio::test]
async fn refusals_are_told_as_each_wire_tells_them() {
    let world = world().await;
    for pair in Pair::translated().filter(|pair| pair.vendor != Wire::Bedrock) {
        let (said, _) = hear(&world, pair, chat().refusal("I will not do that.")).await;
        match pair.client {
            // On Google's wire it is text that the filter ended.
            Wire::OpenAi if pair.vendor == Wire::Gemini => {
                assert_eq!(
                    (said.stop.as_str(), said.text.as_str()),
                    ("content_filter", "I will not do that."),
                    "{pair:?}"
                );
            }
            Wire::OpenAi => assert_eq!(said.refusal, "I will not do that.", "{pair:?}"),
            Wire::Anthropic => {
                let told = said.refusal.clone() + &said.text;
                assert_eq!(
                    (said.stop.as_str(), told.as_str()),
                    ("refusal", "I will not do that."),
                    "{pair:?}"
                );
            }
            Wire::Bedrock | Wire::Gemini => assert_eq!(said.text, "I will not do that.", "{pair:?}"),
        }
    }
}

/// Vendors' figures: 1000 prompt tokens, of them 400 read from a cache, 100 written for five minutes and 50 for an
/// hour; 300 completion tokens, of them 120 reasoning.
fn figures() -> Chat {
    chat().text("a").usage(1000, 300).cached(400).cache_write(100).cache_write_1h(50).reasoning(120)
}

#[tokio::test]
async fn every_class_of_usage_is_told_and_charged_exactly() {
    let world = world().await;
    for pair in Pair::all() {
        let (said, entry) = hear(&world, pair, figures()).await;
        let used = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"]
            .map(|class| entry.used(class));
        // OpenAI does not tell for how long something is cached, Bedrock does not tell reasoning.
        let expected = match pair.vendor {
            Wire::OpenAi => [450, 400, 150, 0, 180, 120],
            Wire::Anthropic => [450, 400, 100, 50, 180, 120],
            // Google tells of no writes: what it keeps, it keeps by itself.
            Wire::Gemini => [600, 400, 0, 0, 180, 120],
            Wire::Bedrock => [450, 400, 100, 50, 300, 0],
        };
        assert_eq!(used, expected, "{pair:?}");
        assert_eq!(entry.basis.as_deref(), Some("reported"), "{pair:?}");
        let prices = [1_000_000, 100_000, 1_250_000, 2_000_000, 2_000_000, 2_000_000_i128];
        let cost: i128 = expected.iter().zip(prices).map(|(tokens, price)| i128::from(*tokens) * price).sum();
        assert_eq!(entry.pico(), Some(cost), "{pair:?}");

        let usage = &said.usage;
        let number = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let told = match pair.client {
            Wire::OpenAi => [
                number("/prompt_tokens"),
                number("/prompt_tokens_details/cached_tokens"),
                number("/prompt_tokens_details/cache_write_tokens"),
                number("/completion_tokens"),
            ],
            Wire::Anthropic => [
                number("/input_tokens")
                    + number("/cache_read_input_tokens")
                    + number("/cache_creation_input_tokens"),
                number("/cache_read_input_tokens"),
                number("/cache_creation_input_tokens"),
                number("/output_tokens"),
            ],
            Wire::Gemini => [
                number("/promptTokenCount"),
                number("/cachedContentTokenCount"),
                0,
                number("/candidatesTokenCount") + number("/thoughtsTokenCount"),
            ],
            Wire::Bedrock => [
                number("/inputTokens") + number("/cacheReadInputTokens") + number("/cacheWriteInputTokens"),
                number("/cacheReadInputTokens"),
                number("/cacheWriteInputTokens"),
                number("/outputTokens"),
            ],
        };
        let written = if [pair.client, pair.vendor].contains(&Wire::Gemini) { 0 } else { 150 };
        assert_eq!(told, [1000, 400, written, 300], "{pair:?}: {usage}");
    }
}

#[tokio::test]
async fn a_vendor_that_tells_no_usage_is_counted() {
    let world = world().await;
    // A relayed answer goes on as the vendor wrote it, also where that breaks the rules of its wire.
    for pair in Pair::translated() {
        let (said, entry) = hear(&world, pair, chat().text("some words to be counted").no_usage()).await;
        assert_eq!(said.text, "some words to be counted", "{pair:?}");
        assert_eq!(entry.basis.as_deref(), Some("counted"), "{pair:?}: {entry:#?}");
        assert!(entry.used("output") > 0, "{pair:?}: {entry:#?}");
    }
}

#[tokio::test]
async fn facts_of_the_call_are_in_headers_and_entry() {
    let world = world().await;
    for pair in Pair::all() {
        world.vendor(pair.vendor).next(chat().text("a").usage(10, 5));
        let answer = world.ask(pair, &hi(pair.client)).await;
        let name = super::route(pair.vendor);
        assert_eq!(answer.header("x-steelyard-route"), Some(name), "{pair:?}");
        assert_eq!(answer.header("x-steelyard-attempts"), Some("1"), "{pair:?}");
        let (header, prefix) = match pair.client {
            Wire::OpenAi => ("x-request-id", "req_"),
            Wire::Anthropic => ("request-id", "req_"),
            Wire::Gemini => ("x-steelyard-request-id", "req_"),
            Wire::Bedrock => ("x-amzn-requestid", ""),
        };
        let own = answer.header(header).unwrap_or_else(|| panic!("{pair:?}: no {header}: {answer:?}"));
        assert!(own.starts_with(prefix), "{pair:?}: {own}");
        let entry = world.server.entry(answer.request_id()).await;
        let dialect = match pair.client {
            Wire::OpenAi => "openai_chat",
            Wire::Anthropic => "anthropic_messages",
            Wire::Gemini => "gemini_generate",
            Wire::Bedrock => "bedrock_converse",
        };
        assert_eq!(entry.dialect, dialect, "{pair:?}");
        let (_, vendors_id) = pair.vendor.request_id();
        // Google's answers name their request nowhere in their head; they have an id of their own.
        let vendors_id = if pair.vendor == Wire::Gemini { "scripted" } else { vendors_id };
        assert_eq!(entry.attempts[0].vendor_request_id.as_deref(), Some(vendors_id), "{pair:?}");
    }
}
