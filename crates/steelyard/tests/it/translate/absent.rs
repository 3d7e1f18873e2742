//! Vendors' answers that leave out what others say: figures, why it ended, members that are null.

use serde_json::{Value, json};
use steelyard_testkit::{Reply, Wire, chat, sse};

use super::broken::told;
use super::read::said;
use super::{Mode, Pair, hi, world};

/// Tokens of the prompt and of the answer, as a client's wire tells them.
fn figures(client: Wire, usage: &Value) -> (u64, u64) {
    let (input, output) = match client {
        Wire::OpenAi => ("prompt_tokens", "completion_tokens"),
        Wire::Anthropic => ("input_tokens", "output_tokens"),
        Wire::Bedrock => ("inputTokens", "outputTokens"),
        Wire::Gemini => ("promptTokenCount", "candidatesTokenCount"),
    };
    let count = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("no {name} in {usage}"));
    (count(input), count(output))
}

#[tokio::test]
async fn where_the_vendor_tells_no_figures_the_client_is_told_what_is_charged() {
    let world = world().await;
    let without = |vendor: Wire, mode: Mode| -> Reply {
        match (vendor, mode) {
            // Closes after its last event, without `metadata`.
            (Wire::Bedrock, Mode::Streamed) => told(
                vendor,
                &[
                    ("messageStart", json!({ "role": "assistant" })),
                    (
                        "contentBlockDelta",
                        json!({ "contentBlockIndex": 0, "delta": { "text": "some words" } }),
                    ),
                    ("contentBlockStop", json!({ "contentBlockIndex": 0 })),
                    ("messageStop", json!({ "stopReason": "end_turn" })),
                ],
            ),
            _ => chat().text("some words").no_usage().into(),
        }
    };
    for pair in Pair::translated() {
        world.vendor(pair.vendor).next(without(pair.vendor, pair.mode));
        let answer = world.ask(pair, &hi(pair.client)).await;
        let said = said(pair, &answer);
        assert_eq!(said.text, "some words", "{pair:?}");
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!(
            (entry.outcome.as_str(), entry.basis.as_deref()),
            ("ok", Some("counted")),
            "{pair:?}: {entry:#?}"
        );
        let charged = (entry.used("input"), entry.used("output"));
        assert_eq!(figures(pair.client, &said.usage), charged, "{pair:?}: {}", answer.text());
        assert!(charged.0 > 0 && charged.1 == 3, "{pair:?}: {entry:#?}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_why_has_a_reason_for_every_client() {
    let world = world().await;
    let chunk = |delta: Value| json!({ "id": "x", "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
    let message = json!({ "type": "message_start", "message": { "id": "x", "model": "m", "usage": null } });
    let begin = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "some words" } });
    let end = json!({ "type": "content_block_stop", "index": 0 });
    let stop = json!({ "type": "message_stop" });
    for (vendor, script) in [
        (Wire::OpenAi, sse().json(&chunk(json!({ "content": "some words" }))).done()),
        (
            Wire::Anthropic,
            sse()
                .event("message_start", &message)
                .event("content_block_start", &begin)
                .event("content_block_stop", &end)
                .event("message_stop", &stop),
        ),
    ] {
        for client in Wire::ALL.into_iter().filter(|client| *client != vendor) {
            let pair = Pair { client, vendor, mode: Mode::Streamed };
            world.vendor(vendor).next(script.clone());
            let answer = world.ask(pair, &hi(client)).await;
            let said = said(pair, &answer);
            let expected = match client {
                Wire::OpenAi => "stop",
                Wire::Anthropic | Wire::Bedrock => "end_turn",
                Wire::Gemini => "STOP",
            };
            assert_eq!(said.stop, expected, "{pair:?}: {}", answer.text());
            let entry = world.server.entry(answer.request_id()).await;
            let charged = (entry.used("input"), entry.used("output"));
            assert_eq!((entry.outcome.as_str(), figures(client, &said.usage)), ("ok", charged), "{pair:?}");
            assert!(charged.1 > 0, "{pair:?}: {entry:#?}");
        }
    }
}

/// Answers that say "some words", with a null wherever a member may be absent.
fn full_of_nulls(vendor: Wire, mode: Mode) -> Reply {
    let nothing = Value::Null;
    match (vendor, mode) {
        (Wire::OpenAi, Mode::Whole) => Reply::json(
            200,
            &json!({ "id": null, "model": null, "created": null, "system_fingerprint": null, "service_tier": null, "error": null,
                "usage": null, "choices": [null, { "index": null, "logprobs": { "content": [{ "token": "a", "logprob": 0.0,
                "bytes": null, "top_logprobs": null }], "refusal": null }, "finish_reason": null,
                "message": { "role": null, "content": "some words", "refusal": null, "tool_calls": [null], "function_call": null,
                    "reasoning_content": null, "annotations": null, "audio": null } }] }),
        ),
        (Wire::OpenAi, Mode::Streamed) => {
            let chunk = |choices: Value| json!({ "id": null, "model": "m", "choices": choices, "usage": null, "error": null });
            let delta = |delta: Value| json!([null, { "index": null, "delta": delta, "logprobs": null, "finish_reason": null, "usage": null }]);
            sse()
                .json(&chunk(nothing.clone()))
                .json(&chunk(delta(nothing.clone())))
                .json(&chunk(delta(json!({ "role": null, "content": null, "refusal": null, "tool_calls": null, "function_call": null }))))
                .json(&chunk(delta(json!({ "content": "some words", "tool_calls": [null], "reasoning": null }))))
                .json(&chunk(json!([{ "index": 0, "delta": null, "finish_reason": "stop" }])))
                .done()
                .into()
        }
        (Wire::Anthropic, Mode::Whole) => Reply::json(
            200,
            &json!({ "type": "message", "id": null, "role": null, "model": null, "stop_reason": null, "stop_sequence": null,
                "stop_details": null, "container": null, "error": null, "usage": null,
                "content": [{ "type": "text", "text": "some words", "citations": null, "cache_control": null }] }),
        ),
        (Wire::Anthropic, Mode::Streamed) => told(
            vendor,
            &[
                (
                    "message_start",
                    json!({ "type": "message_start", "message": null, "error": null, "usage": null }),
                ),
                (
                    "content_block_start",
                    json!({ "type": "content_block_start", "index": null,
                    "content_block": { "type": "text", "text": null, "citations": null } }),
                ),
                (
                    "content_block_delta",
                    json!({ "type": "content_block_delta", "index": null, "delta": null }),
                ),
                (
                    "content_block_delta",
                    json!({ "type": "content_block_delta", "index": null,
                    "delta": { "type": "text_delta", "text": "some words", "thinking": null, "partial_json": null } }),
                ),
                ("content_block_stop", json!({ "type": "content_block_stop", "index": null })),
                ("message_delta", json!({ "type": "message_delta", "delta": null, "usage": null })),
                (
                    "message_delta",
                    json!({ "type": "message_delta", "usage": { "output_tokens": null },
                    "delta": { "stop_reason": "end_turn", "stop_sequence": null, "stop_details": null } }),
                ),
                ("message_stop", json!({ "type": "message_stop", "message": null })),
            ],
        ),
        (Wire::Bedrock, Mode::Whole) => Reply::json(
            200,
            &json!({ "stopReason": null, "usage": null, "metrics": null, "trace": null, "serviceTier": null,
                "additionalModelResponseFields": null, "output": { "message": { "role": null, "content": [
                    null, { "text": "some words", "toolUse": null, "reasoningContent": null }, { "text": null }] } } }),
        ),
        (Wire::Bedrock, Mode::Streamed) => told(
            vendor,
            &[
                ("messageStart", json!({ "role": null })),
                ("contentBlockStart", json!({ "contentBlockIndex": 0, "start": null })),
                ("contentBlockStart", json!({ "contentBlockIndex": 0, "start": { "toolUse": null } })),
                ("contentBlockDelta", json!({ "contentBlockIndex": 0, "delta": null })),
                (
                    "contentBlockDelta",
                    json!({ "contentBlockIndex": 0, "delta": { "toolUse": { "input": null } } }),
                ),
                (
                    "contentBlockDelta",
                    json!({ "contentBlockIndex": null, "delta": { "text": "some words", "toolUse": null,
                    "reasoningContent": null, "citation": null } }),
                ),
                ("contentBlockStop", json!({ "contentBlockIndex": null })),
                ("messageStop", json!({ "stopReason": null, "additionalModelResponseFields": null })),
                ("metadata", json!({ "usage": null, "metrics": null, "serviceTier": null })),
            ],
        ),
        (Wire::Gemini, Mode::Whole) => Reply::json(
            200,
            &json!({ "responseId": null, "modelVersion": null, "promptFeedback": null, "usageMetadata": null, "error": null,
                "candidates": [{ "index": null, "finishReason": "STOP", "safetyRatings": null, "citationMetadata": null,
                    "groundingMetadata": null, "logprobsResult": null, "content": { "role": null, "parts": [
                        { "text": "some words", "thought": null, "thoughtSignature": null, "functionCall": null }] } }] }),
        ),
        (Wire::Gemini, Mode::Streamed) => told(
            vendor,
            &[
                ("", json!({ "candidates": null, "usageMetadata": null, "modelVersion": null })),
                ("", json!({ "candidates": [{ "index": null, "content": null, "finishReason": null }] })),
                ("", json!({ "candidates": [{ "content": { "role": null, "parts": null } }] })),
                (
                    "",
                    json!({ "candidates": [{ "content": { "parts": [{ "text": "some words", "thought": null }] } }] }),
                ),
                (
                    "",
                    json!({ "candidates": [{ "content": null, "finishReason": "STOP" }], "usageMetadata": null,
                    "promptFeedback": null, "responseId": null }),
                ),
            ],
        ),
    }
}

#[tokio::test]
async fn null_is_the_same_as_absent_in_every_answer() {
    let world = world().await;
    for pair in Pair::all() {
        world.vendor(pair.vendor).next(full_of_nulls(pair.vendor, pair.mode));
        let answer = world.ask(pair, &hi(pair.client)).await;
        let entry = world.server.entry(answer.request_id()).await;
        assert_eq!((answer.status, entry.outcome.as_str()), (200, "ok"), "{pair:?}: {}", answer.text());
        assert_eq!(
            (entry.basis.as_deref(), entry.used("output")),
            (Some("counted"), 3),
            "{pair:?}: {entry:#?}"
        );
        if pair.client != pair.vendor {
            assert_eq!(said(pair, &answer).text, "some words", "{pair:?}: {}", answer.text());
        }
    }
}
