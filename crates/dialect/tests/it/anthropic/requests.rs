use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Value, json};
use steelyard_dialect::anthropic::count_tokens;
use steelyard_dialect::chat::{Message, Part, Role};
use steelyard_dialect::{Dialect, LossKind, Outside, Target, relay_body};

use super::{DIALECT, NOWHERE};
use crate::fixtures;
use crate::wire::target;

fn pretty(body: &[u8]) -> String {
    let wire: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&wire).unwrap()
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("anthropic/requests") {
        let request =
            DIALECT.decode_request(&body, &NOWHERE).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (encoded, losses) = DIALECT.encode_request(&request, &target(&request.model));
        let again = DIALECT
            .decode_request(&encoded, &NOWHERE)
            .unwrap_or_else(|error| panic!("{name} again: {error}"));
        match name.as_str() {
            // The instruction amid the conversation moves into the user's turn.
            "claude_code" => assert!(losses.iter().all(|loss| loss.kind == LossKind::Emulated), "{losses:?}"),
            // Turns of one speaker become one.
            "same_role" => assert_eq!(losses, []),
            _ => {
                assert_eq!(losses, [], "{name}");
                assert_eq!(again, request, "{name}");
            }
        }
        let shown = format!("{request:#?}\n\n{}\n\n{losses:#?}", pretty(&encoded));
        insta::assert_snapshot!(format!("request_{name}"), shown);
    }
}

#[test]
fn fixtures_are_peeked_and_relayed_with_nothing_else_changed() {
    let mut peeks = String::new();
    for (name, body) in fixtures::all("anthropic/requests") {
        let body = Bytes::from(body);
        let peek = DIALECT.peek(&body, &NOWHERE).unwrap_or_else(|error| panic!("{name}: {error}"));
        writeln!(peeks, "{name}: {peek:?} {:?}", peek.inject_usage()).unwrap();
        let relayed = relay_body(&body, &peek.model_at, "vendor/\"model\"", peek.inject_usage());
        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        expected["model"] = json!("vendor/\"model\"");
        assert_eq!(serde_json::from_slice::<Value>(&relayed).unwrap(), expected, "{name}");
        let back = DIALECT.peek(&relayed, &NOWHERE).unwrap();
        let restored = relay_body(&relayed, &back.model_at, &peek.model, back.inject_usage());
        assert_eq!(restored, body, "{name}");
    }
    insta::assert_snapshot!(peeks);
}

#[test]
fn another_wires_requests_become_anthropics() {
    for (name, body) in fixtures::all("openai_chat/requests") {
        let outside = Outside::default();
        let request = Dialect::OpenAiChat.decode_request(&body, &outside).unwrap();
        for model in ["claude-sonnet-4-5", "claude-opus-5-5"] {
            let target = Target { model, max_output: Some(64_000), compatible: false };
            let (encoded, losses) = DIALECT.encode_request(&request, &target);
            let refused = losses.iter().any(|loss| loss.kind == LossKind::Refused);
            let again = DIALECT.decode_request(&encoded, &outside);
            assert!(refused || again.is_ok(), "{name}: {:?}", again.err());
            let mut lines = String::new();
            for loss in &losses {
                writeln!(lines, "{:?} {}: {}", loss.kind, loss.field, loss.why).unwrap();
            }
            insta::assert_snapshot!(
                format!("openai_{name}_{model}"),
                format!("{}\n\n{lines}", pretty(&encoded))
            );
        }
    }
}

/// What each generation is sent of thinking, effort and sampling.
#[test]
fn thinking_and_sampling_fit_the_model() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}});
    let asked = [
        json!({"temperature": 1.3, "top_p": 0.5}),
        json!({"temperature": 1.0}),
        json!({"reasoning_effort": "none"}),
        json!({"reasoning_effort": "minimal"}),
        json!({"reasoning_effort": "high"}),
        json!({"reasoning_effort": "high", "max_tokens": 1000}),
        json!({"reasoning_effort": "high", "max_tokens": 8000}),
        json!({"reasoning_effort": "xhigh", "top_p": 0.5}),
        json!({"reasoning_effort": "medium", "temperature": 0.2}),
        json!({"reasoning_effort": "low", "tools": tools, "tool_choice": "required"}),
        json!({"response_format": schema}),
        json!({"response_format": {"type": "json_object"}}),
    ];
    let anthropics = [
        json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        json!({"thinking": {"type": "adaptive", "display": "omitted"}}),
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}, "top_k": 5}),
        json!({"thinking": {"type": "between_tools"}}),
        json!({"thinking": {"type": "disabled"}}),
        json!({"max_tokens": 200_000}),
    ];
    let models = [
        "claude-3-5-haiku-20241022",
        "claude-sonnet-4-5",
        "claude-opus-4-5",
        "claude-opus-4-6",
        "claude-opus-4-7",
        "claude-fable-5-2",
        "glm-5",
    ];
    let mut report = String::new();
    let wires = asked.iter().map(|patch| (Dialect::OpenAiChat, patch));
    for (dialect, patch) in wires.chain(anthropics.iter().map(|patch| (DIALECT, patch))) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        if dialect == DIALECT {
            body["max_tokens"] = json!(30_000);
        }
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let request = dialect.decode_request(body.to_string().as_bytes(), &NOWHERE).unwrap();
        writeln!(report, "{} {patch}", dialect.name()).unwrap();
        for model in models {
            let target = Target { model, max_output: Some(64_000), compatible: false };
            let (encoded, losses) = DIALECT.encode_request(&request, &target);
            let mut wire: Value = serde_json::from_slice(&encoded).unwrap();
            let members = wire.as_object_mut().unwrap();
            members.retain(|name, _| !matches!(name.as_str(), "model" | "messages" | "tools"));
            writeln!(report, "  {model}: {wire}").unwrap();
            for loss in losses {
                writeln!(report, "    {:?} {}: {}", loss.kind, loss.field, loss.why).unwrap();
            }
        }
    }
    insta::assert_snapshot!(report);
}

/// A tool loop whose last turn of the model begins with no signed thought cannot go on thinking by budget.
#[test]
fn a_tool_loop_without_its_thought_goes_on_without_thinking() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let thought = json!([{"type": "reasoning.text", "text": "so", "signature": "c2ln"}]);
    let body = |details: &Value| {
        json!({"model": "m", "reasoning_effort": "low", "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [call], "reasoning_content": "so", "reasoning_details": details},
            {"role": "tool", "tool_call_id": "c1", "content": "x"}
        ]})
        .to_string()
    };
    for (details, model, thinks, losses) in [
        (&thought, "claude-sonnet-4-5", "enabled", 1),
        (&json!(null), "claude-sonnet-4-5", "disabled", 3),
        (&json!(null), "claude-opus-4-7", "adaptive", 1),
    ] {
        let request = Dialect::OpenAiChat.decode_request(body(details).as_bytes(), &NOWHERE).unwrap();
        let target = Target { model, max_output: Some(64_000), compatible: false };
        let (encoded, lost) = DIALECT.encode_request(&request, &target);
        let wire: Value = serde_json::from_slice(&encoded).unwrap();
        assert_eq!(wire["thinking"]["type"], thinks, "{model} {details}");
        // Besides, the tools that were called are defined again.
        assert_eq!(lost.len(), losses + 1, "{lost:?}");
    }
}

#[test]
fn a_body_without_a_model_takes_it_from_the_path() {
    let body = br#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    assert!(DIALECT.decode_request(body, &NOWHERE).is_err());
    let outside = Outside { model: Some("claude-opus-5"), stream: true, version: None, headers: None };
    let request = DIALECT.decode_request(body, &outside).unwrap();
    assert_eq!((request.model.as_str(), request.stream), ("claude-opus-5", true));
    assert!(request.extra.is_empty());
}

#[test]
fn tokens_are_counted_of_a_body_without_a_cap() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"system":"s"}"#;
    assert!(DIALECT.decode_request(body, &NOWHERE).is_err());
    let request = count_tokens::decode_request(body, &NOWHERE).unwrap();
    assert_eq!((request.messages.len(), request.max_output_tokens), (2, None));
    assert_eq!(count_tokens::reply(2095), br#"{"input_tokens":2095}"#.as_slice());
}

#[test]
fn ids_that_the_vendor_refuses_are_changed_alike_for_call_and_result() {
    let ids = ["call:1", "call.1", "call_call_1", ""];
    let calls: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
        .collect();
    let mut messages =
        vec![json!({"role": "user", "content": "hi"}), json!({"role": "assistant", "tool_calls": calls})];
    messages.extend(ids.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": id})));
    let body = json!({"model": "m", "messages": messages}).to_string();
    let request = Dialect::OpenAiChat.decode_request(body.as_bytes(), &NOWHERE).unwrap();
    let (encoded, _) = DIALECT.encode_request(&request, &target("claude-opus-5"));
    let again = DIALECT.decode_request(&encoded, &NOWHERE).unwrap();
    let sent: Vec<&str> = again
        .messages
        .iter()
        .flat_map(|message| &message.content)
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(call.id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(sent.len(), 4);
    let good =
        |id: &&str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    assert!(sent.iter().all(good), "{sent:?}");
    for part in again.messages.iter().flat_map(|message| &message.content) {
        let Part::ToolResult(result) = part else { continue };
        let place = sent.iter().position(|id| *id == result.call_id).unwrap();
        let said = ids[place];
        assert_eq!(result.content, if said.is_empty() { vec![] } else { vec![Part::text(said)] });
    }
}

#[test]
fn instructions_alone_are_the_users_words() {
    let request = steelyard_dialect::ChatRequest {
        messages: vec![Message {
            role: Role::Developer,
            content: vec![Part::text("Sing.")],
            ..Message::default()
        }],
        ..Default::default()
    };
    let (encoded, losses) = DIALECT.encode_request(&request, &target("claude-opus-5"));
    let wire: Value = serde_json::from_slice(&encoded).unwrap();
    assert_eq!(wire["messages"], json!([{"role": "user", "content": "Sing."}]));
    assert!(losses.iter().any(|loss| loss.field == "messages[0]"));
}

#[test]
fn the_rules_of_the_newer_version_hold_for_its_callers_alone() {
    let newer = Outside { version: Some("2026-10-21"), ..Outside::default() };
    let older = Outside { version: Some("2023-06-01"), ..Outside::default() };
    let base = |patch: Value| {
        let mut body =
            json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body.to_string()
    };
    let document =
        json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}});
    let citation = json!({"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": null,
        "start_char_index": 0, "end_char_index": 1});
    let cited = json!({"type": "text", "text": "x", "citations": [citation]});
    let found = json!({"type": "search_result", "source": "s", "title": "t", "content": [cited]});
    let cases = [
        base(json!({"temperature": 1.0})),
        base(json!({"top_p": 0.9})),
        base(json!({"top_k": 5})),
        base(
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [document]}]}),
        ),
        base(json!({"messages": [{"role": "user", "content": [cited]}]})),
        base(json!({"messages": [{"role": "user", "content": [found]}]})),
    ];
    let mut report = String::new();
    for body in cases {
        assert!(DIALECT.decode_request(body.as_bytes(), &older).is_ok(), "{body}");
        assert!(DIALECT.decode_request(body.as_bytes(), &NOWHERE).is_ok(), "{body}");
        let error = DIALECT.decode_request(body.as_bytes(), &newer).expect_err(&body);
        write!(report, "{body}\n    {error} [{}]\n", error.param.as_deref().unwrap_or("-")).unwrap();
    }
    insta::assert_snapshot!(report);
    let good = base(
        json!({"messages": [{"role": "user", "content": [document]}, {"role": "assistant", "content": [cited]}]}),
    );
    assert!(DIALECT.decode_request(good.as_bytes(), &newer).is_ok());
}

#[test]
fn wrong_requests_name_the_field_and_the_remedy() {
    let user = json!({"role": "user", "content": "hi"});
    let with = |patch: Value| {
        let mut body = json!({"model": "m", "max_tokens": 5, "messages": [user.clone()]});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body.to_string()
    };
    let messages = |messages: Value| with(json!({"messages": messages}));
    let block = |block: Value| messages(json!([{"role": "user", "content": [block]}]));
    let call = json!({"type": "tool_use", "id": "t1", "name": "f", "input": {}});
    let called = json!({"role": "assistant", "content": [call]});
    let result = json!({"type": "tool_result", "tool_use_id": "t1", "content": "x"});
    let tool = json!({"name": "f", "input_schema": {"type": "object"}});
    let cases = [
        String::new(),
        "{".into(),
        "[]".into(),
        with(json!({"model": ""})),
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#.into(),
        r#"{"model":"m","max_tokens":1}"#.into(),
        r#"{"model":"m","max_tokens":1,"max_tokens":2,"messages":[]}"#.into(),
        with(json!({"max_tokens": -1})),
        with(json!({"messages": {}})),
        messages(json!([])),
        messages(json!([7])),
        messages(json!([{"content": "x"}])),
        messages(json!([{"role": "tool", "content": "x"}])),
        messages(json!([{"role": "user"}])),
        messages(json!([{"role": "user", "content": 5}])),
        messages(
            json!([{"role": "system", "content": [{"type": "image", "source": {"type": "url", "url": "https://x"}}]}]),
        ),
        with(json!({"system": 7})),
        with(json!({"system": [{"type": "thinking", "thinking": "x"}]})),
        block(json!({"text": "x"})),
        block(json!({"type": "text"})),
        block(json!({"type": "text", "text": "x", "cache_control": {"type": "forever"}})),
        block(json!({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "2h"}})),
        block(json!({"type": "image"})),
        block(
            json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "@@@"}}),
        ),
        block(json!({"type": "image", "source": {"type": "base64", "data": "AAAA"}})),
        block(
            json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": ""}}),
        ),
        block(json!({"type": "document", "source": {"type": "tape"}})),
        block(json!({"type": "search_result", "source": "x"})),
        block(json!({"type": "tool_result", "content": "x"})),
        messages(json!([user, {"role": "user", "content": [result]}])),
        messages(json!([user, called])),
        messages(json!([user, called, user])),
        messages(json!([user, called, {"role": "user", "content": [result, result]}])),
        messages(json!([user, called, {"role": "user", "content": [result]}, user, called])),
        messages(json!([user, {"role": "assistant", "content": [call, call]}])),
        messages(
            json!([user, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]}]),
        ),
        with(json!({"temperature": 1.1})),
        with(json!({"top_p": "high"})),
        with(json!({"top_k": -1})),
        with(json!({"stop_sequences": "END"})),
        with(json!({"stream": "yes"})),
        with(json!({"metadata": "me"})),
        with(json!({"metadata": {"user_id": 7}})),
        with(json!({"thinking": {"type": "enabled"}})),
        with(json!({"thinking": {"type": "enabled", "budget_tokens": 1000}})),
        with(json!({"thinking": {"type": "deep"}})),
        with(json!({"output_config": {"format": {"type": "xml"}}})),
        with(json!({"output_format": {"type": "json_schema"}})),
        with(json!({"tools": {}})),
        with(json!({"tools": [{"name": "f"}]})),
        with(json!({"tools": [{"name": "no spaces", "input_schema": {}}]})),
        with(json!({"tools": [{"name": "f", "input_schema": "{}"}]})),
        with(json!({"tools": [tool, tool]})),
        with(json!({"tools": [tool], "tool_choice": "auto"})),
        with(json!({"tools": [tool], "tool_choice": {"type": "required"}})),
        with(json!({"tools": [tool], "tool_choice": {"type": "tool", "name": "g"}})),
        with(json!({"cache_control": {"type": "persistent"}})),
    ];
    let mut report = String::new();
    for body in cases {
        let error = DIALECT.decode_request(body.as_bytes(), &NOWHERE).expect_err(&body);
        write!(report, "{body}\n    {error} [{}]\n", error.param.as_deref().unwrap_or("-")).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn the_peek_refuses_what_must_not_pass() {
    let cases: &[&[u8]] = &[
        b"",
        b"{",
        b"[]",
        br#"{"messages":[]}"#,
        br#"{"model":"","messages":[]}"#,
        br#"{"model":"m"}"#,
        br#"{"model":"m","messages":"hi"}"#,
        br#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
        br#"{"model":"a","messages":[],"Model":"b"}"#,
        br#"{"model":"a","messages":[],"max_tokens":1,"MAX_TOKENS":100000}"#,
        br#"{"model":"a","messages":[],"max_tokens":1.5}"#,
        br#"{"model":"a","messages":[],"stream":1}"#,
        b"{\"model\":\"m\",\"messages\":[],\"x\":\"\xff\"}",
    ];
    let mut report = String::new();
    for body in cases {
        let error = DIALECT.peek(body, &NOWHERE).expect_err(&String::from_utf8_lossy(body));
        let shown = String::from_utf8_lossy(body);
        write!(report, "{shown}\n    {error} [{}]\n", error.param.as_deref().unwrap_or("-")).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn depth_costs_no_stack() {
    for open in ["[", "{\"a\":"] {
        let close = if open == "[" { "]" } else { "}" };
        let deep = format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
        let content = "{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[".repeat(50_000);
        let body = format!(r#"{{"x":{deep},"model":"m","max_tokens":1,"messages":[{deep}]}}"#);
        assert!(DIALECT.peek(body.as_bytes(), &NOWHERE).is_ok());
        assert!(DIALECT.decode_request(body.as_bytes(), &NOWHERE).is_err());
        assert!(DIALECT.decode_response(body.as_bytes()).is_err());
        assert!(DIALECT.usage_of_reply(body.as_bytes()).is_err());
        let nested = format!(
            r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[{content}{}]}}]}}"#,
            "]}".repeat(50_000)
        );
        assert!(DIALECT.decode_request(nested.as_bytes(), &NOWHERE).is_err());
    }
}
