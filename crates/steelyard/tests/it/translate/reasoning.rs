//! Reasoning that a vendor signs comes back to it in the next turn, whichever wire the client speaks between.

use serde_json::{Value, json};
use steelyard_testkit::{Wire, chat};

use super::read::said;
use super::{Mode, Pair, hi_with_tools, world};

/// The second turn as a client writes it that replays what it was told.
fn next_turn(client: Wire, message: &Value) -> Value {
    let mut body = hi_with_tools(client);
    let (call, results) = match client {
        Wire::OpenAi => {
            let id = message["tool_calls"][0]["id"].clone();
            (id.clone(), json!({ "role": "tool", "tool_call_id": id, "content": "rain" }))
        }
        Wire::Anthropic => {
            let call =
                message["content"].as_array().unwrap().iter().find(|block| block["type"] == "tool_use");
            let id = call.unwrap()["id"].clone();
            let result = json!({ "type": "tool_result", "tool_use_id": id, "content": "rain" });
            (id, json!({ "role": "user", "content": [result] }))
        }
        Wire::Gemini => {
            let call = message["parts"].as_array().unwrap().iter().find_map(|part| part.get("functionCall"));
            let id = call.unwrap()["id"].clone();
            let response =
                json!({ "functionResponse": { "id": id, "name": "f", "response": { "output": "rain" } } });
            (id, json!({ "role": "user", "parts": [response] }))
        }
        Wire::Bedrock => {
            let call = message["content"].as_array().unwrap().iter().find_map(|block| block.get("toolUse"));
            let id = call.unwrap()["toolUseId"].clone();
            let result = json!({ "toolResult": { "toolUseId": id, "content": [{ "text": "rain" }] } });
            (id, json!({ "role": "user", "content": [result] }))
        }
    };
    assert_eq!(call, "call_1");
    let messages = body[super::conversation(client)].as_array_mut().unwrap();
    messages.push(message.clone());
    messages.push(results);
    body
}

/// Asks for thinking in the client's words.
fn thinking(client: Wire, mut body: Value) -> Value {
    match client {
        Wire::OpenAi => body["reasoning_effort"] = json!("low"),
        Wire::Anthropic => {
            body["max_tokens"] = json!(8000);
            body["thinking"] = json!({ "type": "enabled", "budget_tokens": 4096 });
        }
        Wire::Gemini => {
            body["generationConfig"] = json!({ "maxOutputTokens": 8000, "thinkingConfig": { "thinkingBudget": 4096, "includeThoughts": true } });
        }
        Wire::Bedrock => {
            body["inferenceConfig"] = json!({ "maxTokens": 8000 });
            let thinking = json!({ "type": "enabled", "budget_tokens": 4096 });
            body["additionalModelRequestFields"] = json!({ "thinking": thinking });
        }
    }
    body
}

/// A server whose Anthropic and Bedrock channels have a Claude that thinks by budget.
async fn claude() -> super::World {
    super::world_with(|config| {
        config.route("claude-anthropic", &["anthropic/claude-sonnet-4-5"], "retries = 0").route(
            "claude-bedrock",
            &["bedrock/anthropic.claude-sonnet-4-5-v1:0"],
            "retries = 0",
        )
    })
    .await
}

/// Whether a Claude answers on the wire.
fn claudes(vendor: Wire) -> bool {
    matches!(vendor, Wire::Anthropic | Wire::Bedrock)
}

#[tokio::test]
async fn signed_and_hidden_reasoning_is_restored_upstream_in_the_second_turn() {
    let world = claude().await;
    let client = world.server.admin();
    // Gemini's clients have no word for Claude's proofs: what becomes of that is told below.
    for pair in Pair::all().filter(|pair| claudes(pair.vendor) && pair.client != Wire::Gemini) {
        let model = if pair.vendor == Wire::Bedrock { "claude-bedrock" } else { "claude-anthropic" };
        let ask = |body: &Value| super::request(&client, pair.client, model, pair.mode, body);
        let script = chat()
            .reasoning_text("Let me ")
            .reasoning_text("think.")
            .signature("c2lnbmVk")
            .redacted("aGlkZGVu")
            .text("I ask.")
            .tool("call_1", "f", &json!({ "city": "Lübeck" }));
        world.vendor(pair.vendor).next(script);
        let first = thinking(pair.client, hi_with_tools(pair.client));
        let answer = client.send(ask(&first)).await;
        let heard = said(pair, &answer);

        let second = thinking(pair.client, next_turn(pair.client, &heard.message));
        let answer = client.send(ask(&second)).await;
        assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
        let got = world.vendor(pair.vendor).last_request().json();
        let assistant = &got["messages"][1];
        let expected = match pair.vendor {
            Wire::Anthropic | Wire::OpenAi | Wire::Gemini => json!([
                { "type": "thinking", "thinking": "Let me think.", "signature": "c2lnbmVk" },
                { "type": "redacted_thinking", "data": "aGlkZGVu" },
            ]),
            Wire::Bedrock => json!([
                { "reasoningContent": { "reasoningText": { "text": "Let me think.", "signature": "c2lnbmVk" } } },
                { "reasoningContent": { "redactedContent": "aGlkZGVu" } },
            ]),
        };
        let blocks = assistant["content"].as_array().unwrap_or_else(|| panic!("{pair:?}: {got}"));
        assert_eq!(json!(blocks[..2]), expected, "{pair:?}: {got}");
        let thinks = match pair.vendor {
            Wire::Anthropic | Wire::OpenAi | Wire::Gemini => &got["thinking"]["type"],
            Wire::Bedrock => &got["additionalModelRequestFields"]["thinking"]["type"],
        };
        assert_eq!(thinks, "enabled", "{pair:?}: {got}");
    }
}

#[tokio::test]
async fn reasoning_that_a_client_does_not_replay_switches_thinking_off_and_is_a_loss() {
    let world = claude().await;
    let client = world.server.admin();
    let openai = json!({ "role": "assistant", "content": null, "tool_calls": [
        { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{}" } },
    ] });
    let gemini = json!({ "role": "model", "parts": [{ "functionCall": { "id": "call_1", "name": "f", "args": {} } }] });
    for (wire, message, vendor, model) in
        [(Wire::Anthropic, "claude-anthropic"), (Wire::Bedrock, "claude-bedrock")].into_iter().flat_map(
            |(vendor, model)| {
                [(Wire::OpenAi, &openai), (Wire::Gemini, &gemini)]
                    .map(|(wire, message)| (wire, message, vendor, model))
            },
        )
    {
        let body = thinking(wire, next_turn(wire, message));
        let request = super::request(&client, wire, model, Mode::Whole, &body);
        let answer = client.send(request).await;
        assert_eq!(answer.status, 200, "{vendor:?}: {}", answer.text());
        let got = world.vendor(vendor).last_request().json();
        let thinks = match vendor {
            Wire::Anthropic | Wire::OpenAi | Wire::Gemini => &got["thinking"]["type"],
            Wire::Bedrock => &got["additionalModelRequestFields"]["thinking"]["type"],
        };
        assert_ne!(thinks, "enabled", "the vendor would refuse it: {got}");
        let losses = answer.header("x-steelyard-loss").unwrap_or_default();
        assert!(!losses.is_empty(), "{vendor:?}: {answer:?}");
    }
}

#[tokio::test]
async fn reasoning_of_a_vendor_without_proofs_is_no_burden_to_another() {
    let world = world().await;
    for pair in Pair::translated().filter(|pair| pair.vendor == Wire::OpenAi) {
        let script = chat().reasoning_text("Hm.").tool("call_1", "f", &json!({}));
        world.vendor(Wire::OpenAi).next(script);
        let heard = said(pair, &world.ask(pair, &hi_with_tools(pair.client)).await);
        for vendor in Wire::ALL {
            let next = Pair { vendor, ..pair };
            if vendor == pair.client {
                continue;
            }
            let answer = world.ask(next, &next_turn(pair.client, &heard.message)).await;
            assert_eq!(answer.status, 200, "{next:?}: {}", answer.text());
            let got = world.vendor(vendor).last_request().text();
            assert!(!got.contains("\"signature\":\"\""), "{next:?}: {got}");
        }
    }
}
