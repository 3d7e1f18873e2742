//! Histories as agents really send them, before vendors that insist on their rules; and streams in strange pieces.

use std::time::Duration;

use serde_json::{Value, json};
use steelyard_testkit::{Wire, chat};

use super::read::said;
use super::{Mode, Pair, hi, hi_with_tools, world};

/// Conversations of OpenAI's wire.
fn openai() -> Vec<(&'static str, Value)> {
    let call =
        |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let user = json!({ "role": "user", "content": "hi" });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "r" });
    vec![
        (
            "the same role twice",
            json!([user, user, { "role": "assistant", "content": "a" }, { "role": "assistant", "content": "b" }, user]),
        ),
        (
            "empty and blank texts",
            json!([
                { "role": "system", "content": "" },
                { "role": "user", "content": [{ "type": "text", "text": "" }, { "type": "text", "text": "hi" }] },
                { "role": "assistant", "content": "" },
                { "role": "user", "content": " \n" },
                user,
            ]),
        ),
        (
            "null and missing content",
            json!([
                user,
                { "role": "assistant", "content": null, "tool_calls": [call("c1")] },
                result("c1"),
                { "role": "assistant", "tool_calls": [call("c2")] },
                result("c2"),
            ]),
        ),
        (
            "an empty result",
            json!([user, { "role": "assistant", "content": "", "tool_calls": [call("c1")] }, { "role": "tool", "tool_call_id": "c1", "content": "" }]),
        ),
        (
            "results in another order",
            json!([user, { "role": "assistant", "tool_calls": [call("c1"), call("c2")] }, result("c2"), result("c1"), user]),
        ),
        (
            "ids that no other wire takes",
            json!([
                user,
                { "role": "assistant", "tool_calls": [call("call.with|strange:letters/and+more=="), call(&"x".repeat(90))] },
                result("call.with|strange:letters/and+more=="),
                result(&"x".repeat(90)),
            ]),
        ),
        (
            "instructions in the middle",
            json!([
                { "role": "system", "content": "One." }, user, { "role": "assistant", "content": "a" },
                { "role": "developer", "content": "Two." }, user,
            ]),
        ),
        ("instructions alone", json!([{ "role": "system", "content": "Say hi." }])),
        (
            "an answer that was refused",
            json!([user, { "role": "assistant", "content": null, "refusal": "No." }, user]),
        ),
        (
            "members of other vendors",
            json!([user, { "role": "assistant", "content": "a", "annotations": [], "audio": null, "function_call": null, "reasoning_content": "hm" }, user]),
        ),
        (
            "a conversation that the assistant begins",
            json!([{ "role": "assistant", "content": "Hello." }, user, { "role": "assistant", "content": "a " }]),
        ),
        (
            "one that the assistant begins after instructions",
            json!([{ "role": "system", "content": "One." }, { "role": "assistant", "content": "Hello." }, user]),
        ),
        ("the assistant alone", json!([{ "role": "assistant", "content": "Hello. \n" }])),
        ("names of speakers", json!([{ "role": "user", "name": "ann", "content": "hi" }])),
        (
            "the old functions",
            json!([user, { "role": "assistant", "content": null, "function_call": { "name": "f", "arguments": "{}" } }, { "role": "function", "name": "f", "content": "r" }, user]),
        ),
    ]
}

/// Conversations of Anthropic's wire.
fn anthropic() -> Vec<(&'static str, Value)> {
    let user = json!({ "role": "user", "content": "hi" });
    let call = |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": {} });
    vec![
        ("the same role twice", json!([user, user])),
        ("instructions at the end", json!([user, { "role": "system", "content": "Two." }])),
        (
            "results without content",
            json!([user, { "role": "assistant", "content": [call("t1")] }, { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1" }] }]),
        ),
        (
            "results with pictures",
            json!([user, { "role": "assistant", "content": [call("t1")] }, { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": [
            { "type": "text", "text": "see" },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } },
        ] }] }]),
        ),
        (
            "thinking of another vendor's",
            json!([user, { "role": "assistant", "content": [{ "type": "thinking", "thinking": "hm", "signature": "c2ln" }, { "type": "text", "text": "a" }] }, user]),
        ),
        ("a prefill", json!([user, { "role": "assistant", "content": "The answer is" }])),
        ("a prefill with white space", json!([user, { "role": "assistant", "content": "The answer is \n" }])),
        (
            "long ids",
            json!([user, { "role": "assistant", "content": [call(&format!("toolu_{}", "x".repeat(80)))] }, { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": format!("toolu_{}", "x".repeat(80)), "content": "r" }] }]),
        ),
        (
            "a document",
            json!([{ "role": "user", "content": [
            { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "Words." }, "title": "A: title/with_signs.txt" },
            { "type": "text", "text": "What is it?" },
        ] }]),
        ),
    ]
}

/// Conversations of Gemini's wire.
fn gemini() -> Vec<(&'static str, Value)> {
    let user = json!({ "role": "user", "parts": [{ "text": "hi" }] });
    let call = json!({ "functionCall": { "name": "f", "args": {} } });
    let said = |parts: Value| json!({ "role": "model", "parts": parts });
    let result = json!({ "functionResponse": { "name": "f", "response": { "result": "r" } } });
    let results = |parts: Value| json!({ "role": "user", "parts": parts });
    vec![
        ("no roles", json!([{ "parts": [{ "text": "hi" }] }])),
        ("the same role twice", json!([user, user])),
        ("calls without ids", json!([user, said(json!([call, call])), results(json!([result, result]))])),
        (
            "the same call again",
            json!([
                user,
                said(json!([call])),
                results(json!([result])),
                said(json!([call])),
                results(json!([result]))
            ]),
        ),
        (
            "a result without words",
            json!([
                user,
                said(json!([call])),
                results(json!([{ "functionResponse": { "name": "f", "response": {} } }]))
            ]),
        ),
        (
            "words beside a result",
            json!([
                user,
                said(json!([{ "text": "Let me see." }, call])),
                results(json!([result, { "text": "And?" }]))
            ]),
        ),
        (
            "proofs of thought",
            json!([
                user,
                said(
                    json!([{ "text": "hm", "thought": true }, { "functionCall": { "name": "f", "args": {} }, "thoughtSignature": "AAAA" }])
                ),
                results(json!([result]))
            ]),
        ),
        (
            "the role of older results",
            json!([user, said(json!([call])), { "role": "function", "parts": [result] }]),
        ),
        (
            "a picture in snake case",
            json!([{ "role": "user", "parts": [{ "text": "see" }, { "inline_data": { "mime_type": "image/png", "data": "iVBORw0KGgo=" } }] }]),
        ),
        ("the last words are the model's", json!([user, said(json!([{ "text": "The answer is \n" }]))])),
    ]
}

/// Conversations of Bedrock's wire.
fn bedrock() -> Vec<(&'static str, Value)> {
    let user = json!({ "role": "user", "content": [{ "text": "hi" }] });
    let call = json!({ "role": "assistant", "content": [{ "toolUse": { "toolUseId": "t1", "name": "f", "input": {} } }] });
    let result = |content: Value| json!({ "role": "user", "content": [{ "toolResult": { "toolUseId": "t1", "content": content } }] });
    vec![
        ("a result in JSON", json!([user, call, result(json!([{ "json": { "x": [1, 2] } }]))])),
        (
            "a result with a picture",
            json!([
                user,
                call,
                result(
                    json!([{ "text": "see" }, { "image": { "format": "png", "source": { "bytes": "iVBORw0KGgo=" } } }])
                )
            ]),
        ),
        (
            "a prefill with white space",
            json!([user, { "role": "assistant", "content": [{ "text": "The answer is \n" }] }]),
        ),
        ("an empty result", json!([user, call, result(json!([]))])),
        (
            "a document",
            json!([{ "role": "user", "content": [
            { "document": { "format": "txt", "name": "doc", "source": { "bytes": "V29yZHMu" } } },
            { "text": "What is it?" },
        ] }]),
        ),
        (
            "thinking",
            json!([user, { "role": "assistant", "content": [{ "reasoningContent": { "reasoningText": { "text": "hm", "signature": "c2ln" } } }, { "text": "a" }] }, user]),
        ),
        (
            "a cache point behind a call",
            json!([user, { "role": "assistant", "content": [call["content"][0], { "cachePoint": { "type": "default" } }] }, result(json!([{ "text": "r" }]))]),
        ),
    ]
}

#[tokio::test]
async fn histories_as_agents_send_them_are_taken_by_strict_vendors() {
    let world = world().await;
    let mut failed = Vec::new();
    for client in Wire::ALL {
        let histories = match client {
            Wire::OpenAi => openai(),
            Wire::Anthropic => anthropic(),
            Wire::Gemini => gemini(),
            Wire::Bedrock => bedrock(),
        };
        for vendor in Wire::ALL.into_iter().filter(|vendor| *vendor != client) {
            for (name, messages) in &histories {
                let mut body = hi_with_tools(client);
                body[super::conversation(client)] = messages.clone();
                let pair = Pair { client, vendor, mode: Mode::Whole };
                let answer = world.ask(pair, &body).await;
                if answer.status != 200 {
                    failed.push(format!("{client:?} to {vendor:?}, {name}: {}", answer.text()));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn parameters_out_of_a_vendors_range_are_fitted() {
    let world = world().await;
    let mut failed = Vec::new();
    for vendor in [Wire::Anthropic, Wire::Bedrock, Wire::Gemini] {
        for (member, value) in [
            ("temperature", json!(1.8)),
            ("reasoning_effort", json!("high")),
            ("reasoning_effort", json!("none")),
            ("tool_choice", json!("none")),
            ("tool_choice", json!({ "type": "function", "function": { "name": "f" } })),
            ("parallel_tool_calls", json!(false)),
            ("response_format", json!({ "type": "json_object" })),
            ("stop", json!("END")),
            ("stop", json!([" ", "END"])),
            ("n", json!(1)),
            ("user", json!("someone")),
            ("metadata", json!({ "a": "b" })),
            ("service_tier", json!("flex")),
            ("verbosity", json!("low")),
            ("logit_bias", json!({ "50256": -100 })),
        ] {
            let mut body = hi_with_tools(Wire::OpenAi);
            body[member] = value;
            let pair = Pair { client: Wire::OpenAi, vendor, mode: Mode::Whole };
            let answer = world.ask(pair, &body).await;
            if answer.status != 200 {
                failed.push(format!("{vendor:?}, {member}: {}", answer.text()));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn a_schema_for_the_answer_holds_on_every_wire() {
    let world = world().await;
    let schema = json!({ "type": "object", "properties": { "year": { "type": "integer" } }, "required": ["year"], "additionalProperties": false });
    for pair in Pair::translated() {
        let mut body = hi(pair.client);
        match pair.client {
            Wire::OpenAi => {
                body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "y", "schema": schema, "strict": true } });
            }
            Wire::Anthropic => {
                body["output_config"] = json!({ "format": { "type": "json_schema", "schema": schema } });
            }
            Wire::Gemini => {
                body["generationConfig"] =
                    json!({ "responseMimeType": "application/json", "responseJsonSchema": schema });
            }
            Wire::Bedrock => {
                let structure = json!({ "jsonSchema": { "schema": schema.to_string(), "name": "y" } });
                body["outputConfig"] =
                    json!({ "textFormat": { "type": "json_schema", "structure": structure } });
            }
        }
        world.vendor(pair.vendor).next(chat().texts(["{\"year\":", "1356}"]));
        let said = said(pair, &world.ask(pair, &body).await);
        assert_eq!(said.text, "{\"year\":1356}", "{pair:?}");
        let got = world.vendor(pair.vendor).last_request().json();
        let sent = match pair.vendor {
            Wire::OpenAi => got["response_format"]["json_schema"]["schema"].clone(),
            Wire::Anthropic => got["output_config"]["format"]["schema"].clone(),
            Wire::Gemini => got["generationConfig"]["responseJsonSchema"].clone(),
            Wire::Bedrock => {
                let text = got
                    .pointer("/outputConfig/textFormat/structure/jsonSchema/schema")
                    .and_then(Value::as_str);
                serde_json::from_str(text.unwrap_or_else(|| panic!("{pair:?}: {got}"))).unwrap()
            }
        };
        assert_eq!(sent, schema, "{pair:?}: {got}");
    }
}

#[tokio::test]
async fn streams_in_strange_pieces_say_the_same() {
    let world = world().await;
    let script = || {
        let chat = chat().reasoning_text("hm").signature("c2ln").texts(["ünï", " 😀", "\"\n"]);
        chat.tool("call_1", "f", &json!({ "city": "Lübeck" })).usage(10, 5)
    };
    for pair in Pair::streamed() {
        for (name, script) in [
            ("three bytes at a time", script().drip(3, Duration::ZERO)),
            ("fifty bytes at a time", script().drip(50, Duration::ZERO)),
            ("CRLF", script().crlf()),
            ("paced", script().pace(Duration::from_millis(1))),
        ] {
            world.vendor(pair.vendor).next(script);
            let answer = world.ask(pair, &hi_with_tools(pair.client)).await;
            if pair.client == pair.vendor && name == "CRLF" {
                // A relay gives the vendor's own line ends.
                assert!(answer.complete, "{pair:?}");
                continue;
            }
            let said = said(pair, &answer);
            assert_eq!((said.text.as_str(), said.thinking.as_str()), ("ünï 😀\"\n", "hm"), "{pair:?} {name}");
            assert_eq!(said.calls[0].2, json!({ "city": "Lübeck" }), "{pair:?} {name}");
            let entry = world.server.entry(answer.request_id()).await;
            assert_eq!((entry.used("input"), entry.used("output")), (10, 5), "{pair:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_megabyte_in_one_piece_comes_through() {
    let world = world().await;
    let long = "ü".repeat(512 << 10);
    for pair in Pair::all() {
        world.vendor(pair.vendor).next(chat().text("a").text(&long));
        let said = said(pair, &world.ask(pair, &hi(pair.client)).await);
        assert_eq!(said.text.len(), long.len() + 1, "{pair:?}");
        let mut body = hi(pair.client);
        match pair.client {
            Wire::OpenAi | Wire::Anthropic => body["messages"][0]["content"] = json!(long),
            Wire::Gemini => body["contents"][0]["parts"][0]["text"] = json!(long),
            Wire::Bedrock => body["messages"][0]["content"][0]["text"] = json!(long),
        }
        assert_eq!(world.ask(pair, &body).await.status, 200, "{pair:?}");
        assert!(world.vendor(pair.vendor).last_request().body.len() > long.len(), "{pair:?}");
    }
}

#[tokio::test]
async fn streams_are_translated_as_they_come() {
    let world = world().await;
    for pair in Pair::streamed() {
        let gate = steelyard_testkit::Gate::new();
        world.vendor(pair.vendor).next(chat().text("first").wait(&gate).text("second"));
        let mut stream = world.open(pair, &hi(pair.client), &[]).await;
        stream.until_bytes("first").await;
        assert_eq!(world.vendor(pair.vendor).answering(), 1, "{pair:?}: the rest is still held back");
        gate.open();
        assert_eq!(said(pair, &stream.finish().await).text, "firstsecond", "{pair:?}");
    }
}

#[tokio::test]
async fn of_several_choices_a_wire_with_one_gets_the_first() {
    let world = world().await;
    // Gemini's has several, too.
    let one = |pair: &Pair| pair.vendor == Wire::OpenAi && pair.client != Wire::Gemini;
    for pair in Pair::translated().filter(one) {
        world.vendor(Wire::OpenAi).next(chat().texts(["a", "b"]).choice().texts(["c", "d"]));
        let said = said(pair, &world.ask(pair, &hi(pair.client)).await);
        assert_eq!(said.text, "ab", "{pair:?}");
    }
}
