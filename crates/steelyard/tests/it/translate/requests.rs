//! What clients ask, in each vendor's words; and what is lost on the way.

use serde_json::{Value, json};
use steelyard_testkit::{Wire, chat};

use super::{Mode, Pair, World, hi, hi_with_tools, world};
use crate::app::carries;

const PNG: &str = "iVBORw0KGgo=";

/// Sends a request and gives what the vendor got; it must have been answered.
async fn sent(world: &World, pair: Pair, body: &Value) -> Value {
    let answer = world.ask(pair, body).await;
    assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
    world.vendor(pair.vendor).last_request().json()
}

/// A conversation with everything usual in it, as a client of the wire writes it.
fn conversation(wire: Wire) -> Value {
    let mut body = hi_with_tools(wire);
    let more = match wire {
        Wire::OpenAi => json!({
            "max_completion_tokens": 64, "temperature": 0.5, "top_p": 0.9, "stop": ["END"],
            "tool_choice": "required",
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": [
                    { "type": "text", "text": "What is this?" },
                    { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{PNG}") } },
                ] },
                { "role": "assistant", "content": "Let me see.", "tool_calls": [
                    { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"city\":\"Lübeck\"}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "g", "arguments": "" } },
                ] },
                { "role": "tool", "tool_call_id": "call_1", "content": "rain" },
                { "role": "tool", "tool_call_id": "call_2", "content": "no such town" },
                { "role": "user", "content": "And now?" },
            ],
        }),
        Wire::Anthropic => json!({
            "max_tokens": 64, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"],
            "tool_choice": { "type": "any" },
            "system": "Be brief.",
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "What is this?" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": PNG } },
                ] },
                { "role": "assistant", "content": [
                    { "type": "text", "text": "Let me see." },
                    { "type": "tool_use", "id": "call_1", "name": "f", "input": { "city": "Lübeck" } },
                    { "type": "tool_use", "id": "call_2", "name": "g", "input": {} },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "call_1", "content": "rain" },
                    { "type": "tool_result", "tool_use_id": "call_2", "content": "no such town", "is_error": true },
                    { "type": "text", "text": "And now?" },
                ] },
            ],
        }),
        Wire::Gemini => json!({
            "generationConfig": { "maxOutputTokens": 64, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"] },
            "toolConfig": { "functionCallingConfig": { "mode": "ANY" } },
            "systemInstruction": { "parts": [{ "text": "Be brief." }] },
            "contents": [
                { "role": "user", "parts": [
                    { "text": "What is this?" },
                    { "inlineData": { "mimeType": "image/png", "data": PNG } },
                ] },
                { "role": "model", "parts": [
                    { "text": "Let me see." },
                    { "functionCall": { "id": "call_1", "name": "f", "args": { "city": "Lübeck" } } },
                    { "functionCall": { "id": "call_2", "name": "g", "args": {} } },
                ] },
                { "role": "user", "parts": [
                    { "functionResponse": { "id": "call_1", "name": "f", "response": { "output": "rain" } } },
                    { "functionResponse": { "id": "call_2", "name": "g", "response": { "error": "no such town" } } },
                    { "text": "And now?" },
                ] },
            ],
        }),
        Wire::Bedrock => json!({
            "inferenceConfig": { "maxTokens": 64, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"] },
            "toolConfig": { "tools": body["toolConfig"]["tools"], "toolChoice": { "any": {} } },
            "system": [{ "text": "Be brief." }],
            "messages": [
                { "role": "user", "content": [
                    { "text": "What is this?" },
                    { "image": { "format": "png", "source": { "bytes": PNG } } },
                ] },
                { "role": "assistant", "content": [
                    { "text": "Let me see." },
                    { "toolUse": { "toolUseId": "call_1", "name": "f", "input": { "city": "Lübeck" } } },
                    { "toolUse": { "toolUseId": "call_2", "name": "g", "input": {} } },
                ] },
                { "role": "user", "content": [
                    { "toolResult": { "toolUseId": "call_1", "content": [{ "text": "rain" }] } },
                    { "toolResult": { "toolUseId": "call_2", "content": [{ "text": "no such town" }], "status": "error" } },
                    { "text": "And now?" },
                ] },
            ],
        }),
    };
    for (member, value) in more.as_object().unwrap() {
        body[member] = value.clone();
    }
    body
}

/// The texts of a list of blocks, or a text that stands for itself.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn as_openai(pair: Pair, got: &Value) {
    let messages = got["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "user"], "{pair:?}: {got}");
    assert_eq!(text(&messages[0]["content"]), "Be brief.", "{pair:?}");
    assert_eq!(text(&messages[1]["content"]), "What is this?", "{pair:?}");
    assert_eq!(
        messages[1]["content"][1]["image_url"]["url"],
        format!("data:image/png;base64,{PNG}"),
        "{pair:?}"
    );
    assert_eq!(text(&messages[2]["content"]), "Let me see.", "{pair:?}");
    let calls = &messages[2]["tool_calls"];
    assert_eq!((&calls[0]["id"], &calls[1]["id"]), (&json!("call_1"), &json!("call_2")), "{pair:?}");
    let arguments: Value = serde_json::from_str(calls[0]["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({ "city": "Lübeck" }), "{pair:?}");
    assert_eq!(
        (&messages[3]["tool_call_id"], text(&messages[3]["content"])),
        (&json!("call_1"), "rain".to_owned())
    );
    assert!(text(&messages[4]["content"]).contains("no such town"), "{pair:?}: {got}");
    assert_eq!(text(&messages[5]["content"]), "And now?", "{pair:?}");
    assert_eq!(got["tool_choice"], "required", "{pair:?}");
    assert_eq!(got["tools"][1]["function"]["name"], "g", "{pair:?}");
    assert_eq!(got["tools"][0]["function"]["parameters"]["type"], "object", "{pair:?}");
    let most = got.get("max_tokens").or_else(|| got.get("max_completion_tokens"));
    assert_eq!(most, Some(&json!(64)), "{pair:?}: {got}");
    assert_eq!((&got["temperature"], &got["stop"][0]), (&json!(0.5), &json!("END")), "{pair:?}");
}

fn as_anthropic(pair: Pair, got: &Value) {
    assert_eq!(text(&got["system"]), "Be brief.", "{pair:?}: {got}");
    let messages = got["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"], "{pair:?}: {got}");
    let image = json!({ "type": "base64", "media_type": "image/png", "data": PNG });
    assert_eq!(messages[0]["content"][1]["source"], image, "{pair:?}");
    let said = &messages[1]["content"];
    assert_eq!(said[0], json!({ "type": "text", "text": "Let me see." }), "{pair:?}");
    let call = json!({ "type": "tool_use", "id": "call_1", "name": "f", "input": { "city": "Lübeck" } });
    assert_eq!((&said[1], &said[2]["input"]), (&call, &json!({})), "{pair:?}");
    let results = &messages[2]["content"];
    assert_eq!(
        (&results[0]["type"], &results[0]["tool_use_id"]),
        (&json!("tool_result"), &json!("call_1")),
        "{pair:?}"
    );
    assert_eq!(text(&results[0]["content"]), "rain", "{pair:?}");
    if pair.client == Wire::Bedrock {
        assert_eq!(results[1]["is_error"], true, "{pair:?}");
    }
    assert_eq!(text(results), "And now?", "{pair:?}");
    assert_eq!(got["tool_choice"]["type"], "any", "{pair:?}");
    assert_eq!((&got["tools"][1]["name"], &got["max_tokens"]), (&json!("g"), &json!(64)), "{pair:?}");
    assert_eq!((&got["temperature"], &got["stop_sequences"]), (&json!(0.5), &json!(["END"])), "{pair:?}");
    assert!(got.get("stream_options").is_none() && got["model"] == "m", "{pair:?}: {got}");
}

fn as_bedrock(pair: Pair, got: &Value) {
    assert_eq!(got["system"], json!([{ "text": "Be brief." }]), "{pair:?}: {got}");
    let messages = got["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"], "{pair:?}: {got}");
    let image = json!({ "image": { "format": "png", "source": { "bytes": PNG } } });
    assert_eq!(messages[0]["content"][1], image, "{pair:?}");
    let call = json!({ "toolUse": { "toolUseId": "call_1", "name": "f", "input": { "city": "Lübeck" } } });
    assert_eq!(messages[1]["content"][1], call, "{pair:?}");
    let results = &messages[2]["content"];
    assert_eq!(results[0]["toolResult"]["toolUseId"], "call_1", "{pair:?}");
    assert_eq!(text(&results[0]["toolResult"]["content"]), "rain", "{pair:?}");
    if pair.client == Wire::Anthropic {
        assert_eq!(results[1]["toolResult"]["status"], "error", "{pair:?}");
    }
    assert_eq!(text(results), "And now?", "{pair:?}");
    assert_eq!(got["toolConfig"]["toolChoice"], json!({ "any": {} }), "{pair:?}");
    assert_eq!(got["toolConfig"]["tools"][1]["toolSpec"]["name"], "g", "{pair:?}");
    let config = json!({ "maxTokens": 64, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"] });
    assert_eq!(got["inferenceConfig"], config, "{pair:?}: {got}");
    for member in ["model", "stream", "stream_options"] {
        assert!(got.get(member).is_none(), "{pair:?}: {got}");
    }
}

fn as_gemini(pair: Pair, got: &Value) {
    assert_eq!(got["systemInstruction"]["parts"], json!([{ "text": "Be brief." }]), "{pair:?}: {got}");
    let contents = got["contents"].as_array().unwrap();
    let roles: Vec<_> = contents.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "model", "user"], "{pair:?}: {got}");
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": PNG } });
    assert_eq!(contents[0]["parts"][1], image, "{pair:?}");
    let said = &contents[1]["parts"];
    assert_eq!(said[0], json!({ "text": "Let me see." }), "{pair:?}");
    let call = json!({ "id": "call_1", "name": "f", "args": { "city": "Lübeck" } });
    assert_eq!((&said[1]["functionCall"], &said[2]["functionCall"]["args"]), (&call, &json!({})), "{pair:?}");
    // The first call of a turn wants a proof of thought, or the word that there is none.
    assert_eq!(said[1]["thoughtSignature"], "skip_thought_signature_validator", "{pair:?}");
    assert!(said[2].get("thoughtSignature").is_none(), "{pair:?}: {got}");
    let results = &contents[2]["parts"];
    let rain = json!({ "id": "call_1", "name": "f", "response": { "output": "rain" } });
    assert_eq!(results[0]["functionResponse"], rain, "{pair:?}");
    // Chat Completions has no mark of an error.
    let word = if pair.client == Wire::OpenAi { "output" } else { "error" };
    assert_eq!(results[1]["functionResponse"]["response"], json!({ word: "no such town" }), "{pair:?}");
    assert_eq!(text(results), "And now?", "{pair:?}");
    assert_eq!(got["toolConfig"]["functionCallingConfig"]["mode"], "ANY", "{pair:?}");
    assert_eq!(got["tools"][0]["functionDeclarations"][1]["name"], "g", "{pair:?}");
    let config = json!({ "maxOutputTokens": 64, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END"] });
    assert_eq!(got["generationConfig"], config, "{pair:?}: {got}");
    for member in ["model", "stream", "stream_options"] {
        assert!(got.get(member).is_none(), "{pair:?}: {got}");
    }
}

#[tokio::test]
async fn a_whole_conversation_is_written_in_each_vendors_words() {
    let world = world().await;
    for pair in Pair::translated() {
        let got = sent(&world, pair, &conversation(pair.client)).await;
        match pair.vendor {
            Wire::OpenAi => as_openai(pair, &got),
            Wire::Anthropic => as_anthropic(pair, &got),
            Wire::Gemini => as_gemini(pair, &got),
            Wire::Bedrock => as_bedrock(pair, &got),
        }
        let request = world.vendor(pair.vendor).last_request();
        match pair.vendor {
            Wire::OpenAi => {
                assert_eq!(request.header("authorization"), Some("Bearer vendor-key-openai"));
                assert_eq!(request.wants_usage(), pair.mode == Mode::Streamed, "{pair:?}");
            }
            Wire::Anthropic => {
                assert_eq!(request.header("x-api-key"), Some("vendor-key-anthropic"));
                assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
            }
            Wire::Gemini => {
                assert_eq!(request.header("x-goog-api-key"), Some("vendor-key-gemini"));
                let events = request.path.ends_with(":streamGenerateContent?alt=sse");
                assert_eq!(events, pair.mode == Mode::Streamed, "{pair:?}: {}", request.path);
            }
            Wire::Bedrock => {
                let signed = request.header("authorization").unwrap_or_default();
                assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signed}");
            }
        }
        let own = world.server.admin_key();
        assert!(request.headers.iter().all(|(_, value)| !value.contains(own)), "our own key went upstream");
    }
}

#[tokio::test]
async fn an_output_cap_is_made_up_only_where_the_wire_needs_one() {
    let world = world().await;
    for pair in Pair::translated().filter(|pair| pair.client != Wire::Anthropic) {
        let got = sent(&world, pair, &hi(pair.client)).await;
        match pair.vendor {
            Wire::Anthropic => {
                assert!(got["max_tokens"].as_u64().is_some_and(|most| most > 0), "{pair:?}: {got}");
            }
            Wire::OpenAi | Wire::Bedrock | Wire::Gemini => {
                assert!(!got.to_string().to_lowercase().contains("tokens\":"), "{pair:?}: {got}");
            }
        }
    }
}

#[tokio::test]
async fn cache_marks_stand_where_they_stood_or_are_a_named_loss() {
    let world = world().await;
    for mode in [Mode::Whole, Mode::Streamed] {
        let body = json!({
            "max_tokens": 9,
            "system": [{ "type": "text", "text": "Long.", "cache_control": { "type": "ephemeral", "ttl": "1h" } }],
            "messages": [{ "role": "user", "content": [
                { "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } },
                { "type": "text", "text": "b" },
            ] }],
        });
        let pair = Pair { client: Wire::Anthropic, vendor: Wire::Bedrock, mode };
        let got = sent(&world, pair, &body).await;
        let system = json!([{ "text": "Long." }, { "cachePoint": { "type": "default", "ttl": "1h" } }]);
        assert_eq!(got["system"], system, "{got}");
        let content = &got["messages"][0]["content"];
        assert_eq!(content[1]["cachePoint"]["type"], "default", "{got}");
        assert_eq!((&content[0]["text"], &content[2]["text"]), (&json!("a"), &json!("b")), "{got}");

        let body = json!({
            "system": [{ "text": "Long." }, { "cachePoint": { "type": "default" } }],
            "messages": [{ "role": "user", "content": [{ "text": "a" }, { "cachePoint": { "type": "default", "ttl": "1h" } }, { "text": "b" }] }],
        });
        let pair = Pair { client: Wire::Bedrock, vendor: Wire::Anthropic, mode };
        let got = sent(&world, pair, &body).await;
        assert_eq!(got["system"][0]["cache_control"]["type"], "ephemeral", "{got}");
        assert_eq!(got["messages"][0]["content"][0]["cache_control"]["ttl"], "1h", "{got}");
        assert!(got["messages"][0]["content"][1].get("cache_control").is_none(), "{got}");

        let pair = Pair { client: Wire::Bedrock, vendor: Wire::OpenAi, mode };
        let answer = world.ask(pair, &body).await;
        let losses = answer.header("x-steelyard-loss").unwrap_or_default().to_owned();
        assert!(losses.contains("cachePoint") || losses.contains("cache"), "`{losses}`: {answer:?}");
        let entry = world.server.entry(answer.request_id()).await;
        assert!(!entry.losses.is_empty(), "{entry:#?}");
    }
}

#[tokio::test]
async fn a_loss_is_named_or_in_strict_mode_refused() {
    let world = world().await;
    let with = |wire: Wire, member: &str, value: Value| {
        let mut body = hi(wire);
        body[member] = value;
        body
    };
    let cases = [
        (Wire::OpenAi, Wire::Anthropic, with(Wire::OpenAi, "seed", json!(7)), "seed"),
        (Wire::OpenAi, Wire::Bedrock, with(Wire::OpenAi, "frequency_penalty", json!(1)), "frequency_penalty"),
        (Wire::Anthropic, Wire::Bedrock, with(Wire::Anthropic, "container", json!("c_1")), "container"),
        (Wire::Anthropic, Wire::OpenAi, with(Wire::Anthropic, "top_k", json!(3)), "top_k"),
        (Wire::OpenAi, Wire::Gemini, with(Wire::OpenAi, "logit_bias", json!({ "1": 1 })), "logit_bias"),
        (Wire::Anthropic, Wire::Gemini, with(Wire::Anthropic, "container", json!("c_1")), "container"),
        (
            Wire::Gemini,
            Wire::OpenAi,
            with(Wire::Gemini, "generationConfig", json!({ "topK": 3 })),
            "generationConfig.topK",
        ),
        (Wire::Gemini, Wire::Bedrock, with(Wire::Gemini, "labels", json!({ "a": "b" })), "labels"),
        (
            Wire::Bedrock,
            Wire::OpenAi,
            with(Wire::Bedrock, "performanceConfig", json!({ "latency": "optimized" })),
            "performanceConfig",
        ),
        (
            Wire::Bedrock,
            Wire::Anthropic,
            with(Wire::Bedrock, "promptVariables", json!({ "x": { "text": "y" } })),
            "promptVariables",
        ),
    ];
    for (client, vendor, body, lost) in cases {
        for mode in [Mode::Whole, Mode::Streamed] {
            let pair = Pair { client, vendor, mode };
            let answer = world.ask(pair, &body).await;
            if answer.status == 200 {
                let named = answer.header("x-steelyard-loss").unwrap_or_default();
                assert!(named.contains(lost), "{pair:?}: `{named}` does not name {lost}");
                let entry = world.server.entry(answer.request_id()).await;
                assert!(
                    entry.losses.iter().any(|loss| loss.to_string().contains(lost)),
                    "{pair:?}: {entry:#?}"
                );
            } else {
                assert_eq!(answer.status, 400, "{pair:?}: {}", answer.text());
            }
            let before = world.vendor(vendor).count();
            let strict = world.ask_with(pair, &body, &[("x-steelyard-strict", "true")]).await;
            assert_eq!(strict.status, 400, "{pair:?}: {}", strict.text());
            assert!(strict.text().contains(lost), "{pair:?}: {}", strict.text());
            assert!(carries(&strict, "SY0203"), "{pair:?}: {}", strict.text());
            assert_eq!(world.vendor(vendor).count(), before, "{pair:?}: a refused call was sent");
        }
    }
    let strict = Pair { client: Wire::OpenAi, vendor: Wire::Anthropic, mode: Mode::Whole };
    let mut plain = hi(Wire::OpenAi);
    plain["max_tokens"] = json!(9);
    let answer = world.ask_with(strict, &plain, &[("x-steelyard-strict", "true")]).await;
    assert_eq!(answer.status, 200, "nothing is lost of a plain request: {}", answer.text());
}

#[tokio::test]
async fn losses_are_named_in_the_header_whatever_they_are_called() {
    let world = world().await;
    for pair in Pair::translated() {
        let mut body = hi(pair.client);
        body["größe, ungefähr"] = json!(1);
        let answer = world.ask(pair, &body).await;
        assert_eq!(answer.status, 200, "{pair:?}: {}", answer.text());
        let named = answer.header("x-steelyard-loss").unwrap_or_default();
        assert!(named.contains("gr%C3%B6%C3%9Fe%2C%20ungef%C3%A4hr"), "{pair:?}: `{named}`");
        for number in 0..2000 {
            body[format!("some_member_{number}")] = json!(1);
        }
        let answer = world.ask(pair, &body).await;
        let named = answer.header("x-steelyard-loss").unwrap_or_default();
        assert!(named.len() < 4200 && named.contains(",+"), "{pair:?}: {} bytes", named.len());
        let entry = world.server.entry(answer.request_id()).await;
        assert!(entry.losses.len() >= 2000, "{pair:?}: the entry has them all: {}", entry.losses.len());
    }
}

#[tokio::test]
async fn a_strict_route_refuses_without_being_asked_and_takes_another_target_that_can() {
    let world = super::world_with(|config| {
        config.route("strict", &["anthropic/m"], "strict = true").route(
            "strict-or-openai",
            &["bedrock/m", "openai/m"],
            "strict = true",
        )
    })
    .await;
    let client = world.server.admin();
    let mut body = hi(Wire::OpenAi);
    body["seed"] = json!(7);
    let ask = |model: &'static str| super::request(&client, Wire::OpenAi, model, Mode::Whole, &body);
    let answer = client.send(ask("strict")).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("seed"), "{}", answer.text());
    let answer = client.send(ask("strict-or-openai")).await;
    assert_eq!(
        (answer.status, answer.header("x-steelyard-channel")),
        (200, Some("openai")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn unknown_members_and_null_members_do_no_harm() {
    let world = world().await;
    for pair in Pair::translated() {
        let mut body = hi(pair.client);
        body["some_future_member"] = json!({ "x": 1 });
        let nulls: &[&str] = match pair.client {
            Wire::OpenAi => &[
                "temperature",
                "tools",
                "tool_choice",
                "stop",
                "response_format",
                "reasoning_effort",
                "user",
            ],
            Wire::Anthropic => {
                &["temperature", "tools", "tool_choice", "system", "thinking", "metadata", "stop_sequences"]
            }
            Wire::Gemini => {
                let text = json!({ "text": "hi", "inlineData": null, "functionCall": null, "thought": null });
                body["contents"][0]["parts"] = json!([text]);
                &["systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "labels"]
            }
            Wire::Bedrock => {
                let text = json!({ "text": "hi", "image": null, "toolUse": null, "cachePoint": null });
                body["messages"][0]["content"] = json!([text]);
                &[
                    "system",
                    "toolConfig",
                    "inferenceConfig",
                    "guardrailConfig",
                    "additionalModelRequestFields",
                ]
            }
        };
        for member in nulls {
            body[*member] = Value::Null;
        }
        let got = sent(&world, pair, &body).await;
        assert!(!got.to_string().contains("null"), "{pair:?}: {got}");
        assert!(!got.to_string().contains("some_future_member"), "{pair:?}: {got}");
        let first = &got[super::conversation(pair.vendor)][0];
        let said = if pair.vendor == Wire::Gemini { &first["parts"] } else { &first["content"] };
        assert_eq!(text(said), "hi", "{pair:?}: {got}");
    }
}

#[tokio::test]
async fn names_with_colons_slashes_percents_and_arns_reach_the_vendor_whole() {
    let names = [
        "us.anthropic.claude-x-v1:0",
        "org/model:tag",
        "100%25 odd",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
    ];
    let models: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let bedrock = steelyard_testkit::Upstream::speaking(Wire::Bedrock).await;
    let openai = steelyard_testkit::Upstream::speaking(Wire::OpenAi).await;
    let models = format!("models = [{}]", models.join(", "));
    let config = steelyard_testkit::Config::new()
        .channel("bedrock", &bedrock, &models)
        .channel("openai", &openai, &models);
    let server = crate::app::serve(&config).await;
    let client = server.admin();
    for name in names {
        for (channel, vendor) in [("bedrock", &bedrock), ("openai", &openai)] {
            let model = format!("{channel}/{name}");
            for (wire, called) in [
                (Wire::OpenAi, model.clone()),
                (Wire::Anthropic, model.clone()),
                (Wire::Bedrock, encoded(&model)),
                (Wire::Gemini, encoded(&model)),
            ] {
                for mode in [Mode::Whole, Mode::Streamed] {
                    vendor.next(chat().text("a"));
                    let answer = client.send(super::request(&client, wire, &called, mode, &hi(wire))).await;
                    assert_eq!(answer.status, 200, "{wire:?} {model}: {}", answer.text());
                    assert_eq!(vendor.last_request().model().as_deref(), Some(name), "{wire:?} {mode:?}");
                }
            }
        }
    }
}

/// As one segment of a path.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
