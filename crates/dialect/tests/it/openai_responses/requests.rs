use std::fmt::Write;

use serde_json::{Value, json};
use steelyard_dialect::chat::{Part, Role};
use steelyard_dialect::{Dialect, LossKind, Outside};

use super::DIALECT;
use crate::fixtures;
use crate::wire::target;

fn pretty(body: &[u8]) -> String {
    let wire: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&wire).unwrap()
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("openai_responses/requests") {
        let outside = Outside::default();
        let request =
            DIALECT.decode_request(&body, &outside).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (encoded, losses) = DIALECT.encode_request(&request, &target("smart"));
        let again = DIALECT
            .decode_request(&encoded, &outside)
            .unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(losses, [], "{name}");
        assert_eq!(again, request, "{name}");
        insta::assert_snapshot!(format!("request_{name}"), format!("{request:#?}\n\n{}", pretty(&encoded)));
    }
}

#[test]
fn fixtures_are_peeked() {
    let mut peeks = String::new();
    for (name, body) in fixtures::all("openai_responses/requests") {
        let peek = DIALECT.peek(&body, &Outside::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        writeln!(peeks, "{name}: {peek:?}").unwrap();
    }
    insta::assert_snapshot!(peeks);
}

#[test]
fn other_wires_requests_can_be_said_here_or_what_cannot_is_named() {
    let clients = [
        (Dialect::OpenAiChat, "openai_chat", None),
        (Dialect::AnthropicMessages, "anthropic", None),
        (Dialect::BedrockConverse, "bedrock", Some("m")),
        (Dialect::GeminiGenerate, "gemini", Some("m")),
    ];
    for (client, folder, model) in clients {
        for (name, body) in fixtures::all(&format!("{folder}/requests")) {
            let outside = Outside { model, ..Outside::default() };
            let request = client.decode_request(&body, &outside).unwrap();
            let (encoded, losses) = DIALECT.encode_request(&request, &target("gpt-6-sol"));
            let refused = losses.iter().any(|loss| loss.kind == LossKind::Refused);
            let again = DIALECT.decode_request(&encoded, &Outside::default());
            assert!(refused || again.is_ok(), "{folder} {name}: {:?}", again.err());
        }
    }
}

#[test]
fn faults_name_their_place_as_the_client_wrote_it() {
    let hi = json!({"role": "user", "content": "hi"});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "d", "output": ""});
    let cases = [
        (json!({}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 7}), "input"),
        (json!({"input": [{"content": "x"}]}), "input[0].type"),
        (json!({"input": [{"role": "bot", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"role": "user", "content": [{"type": "image"}]}]}), "input[0].content[0].type"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "a.png"}]}]}),
            "input[0].content[0].image_url",
        ),
        (json!({"input": [hi, call]}), "input[1]"),
        (json!({"input": [hi, call, output]}), "input[2].call_id"),
        (json!({"input": [hi, call, call]}), "input[2].call_id"),
        (json!({"input": "hi", "instructions": []}), "instructions"),
        (json!({"input": "hi", "temperature": 3}), "temperature"),
        (json!({"input": "hi", "store": 1}), "store"),
        (json!({"input": "hi", "text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"input": "hi", "tools": [{"type": "function", "name": "a b"}]}), "tools[0].name"),
        (
            json!({"input": "hi", "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}),
            "tools[0].tools[0].name",
        ),
        (json!({"input": "hi", "tool_choice": {"type": "function", "name": "f"}}), "tool_choice.name"),
        (json!({"input": "hi", "tool_choice": {"type": "web_search"}}), "tool_choice.type"),
        (json!({"input": "hi", "include": [1]}), "include[0]"),
    ];
    for (mut body, at) in cases {
        body["model"] = json!("m");
        let error = DIALECT.decode_request(body.to_string().as_bytes(), &Outside::default()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(at), "{body}: {error}");
        assert!(error.to_string().contains(&format!("`{at}")), "{body}: {error}");
    }
}

/// Every other wire wants a result right after its call.
#[test]
fn a_result_stands_after_its_call_wherever_it_was_written() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": id});
    let body = json!({"model": "m", "input": [{"role": "user", "content": "hi"}, call("a"), call("b"), output("b"),
        {"role": "user", "content": "hurry"}, output("a"), {"role": "assistant", "content": "done"}]});
    let request = DIALECT.decode_request(body.to_string().as_bytes(), &Outside::default()).unwrap();
    let roles: Vec<Role> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::User, Role::Assistant]);
    let ids: Vec<&str> = request.messages[2]
        .content
        .iter()
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some(result.call_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["b", "a"]);
}

/// What cannot be had elsewhere is named, and refused where the model would have to make it up.
#[test]
fn openais_own_tools_are_refused_elsewhere_and_its_web_search_is_left_out() {
    let cases = [
        (json!({"tools": [{"type": "web_search"}]}), LossKind::Dropped, "tools[0]"),
        (
            json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
            LossKind::Refused,
            "tools[0]",
        ),
        (
            json!({"tools": [{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "x"}]}),
            LossKind::Refused,
            "tools[1]",
        ),
        (json!({"prompt": {"id": "pmpt_1"}}), LossKind::Refused, "prompt"),
        (json!({"store": true}), LossKind::Dropped, "store"),
        (
            json!({"input": [{"role": "user", "content": "hi"}, {"id": "msg_1"}]}),
            LossKind::Refused,
            "input[1]",
        ),
    ];
    let models = [
        (Dialect::OpenAiChat, "gpt-oss-120b"),
        (Dialect::AnthropicMessages, "claude-opus-4-6"),
        (Dialect::BedrockConverse, "us.amazon.nova-pro-v1:0"),
        (Dialect::GeminiGenerate, "gemini-3.8-flash"),
    ];
    for (patch, kind, field) in cases {
        let mut body = json!({"model": "m", "input": "hi"});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let request = DIALECT.decode_request(body.to_string().as_bytes(), &Outside::default()).unwrap();
        for (vendor, model) in models {
            let (_, losses) = vendor.encode_request(&request, &target(model));
            let found = losses.iter().any(|loss| loss.field == field && loss.kind == kind);
            assert!(found, "{} {body}: {losses:?}", vendor.name());
        }
    }
}
