//! What is refused, and in which words.

use std::fmt::Write;

use serde_json::{Value, json};
use steelyard_dialect::{Dialect, LossKind, Outside};

use crate::bedrock::{DIALECT, path, target};

#[test]
fn wrong_requests_name_the_field_and_the_remedy() {
    let user = json!({"role": "user", "content": [{"text": "hi"}]});
    let with = |patch: Value| {
        let mut body = json!({"messages": [user.clone()]});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body.to_string()
    };
    let messages = |messages: Value| with(json!({"messages": messages}));
    let block = |block: Value| messages(json!([{"role": "user", "content": [block]}]));
    let call = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "f", "input": {}}});
    let result = |id: &str| json!({"toolResult": {"toolUseId": id, "content": []}});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let answer = |content: Value| json!({"role": "user", "content": content});
    let spec = json!({"toolSpec": {"name": "f", "inputSchema": {"json": {}}}});
    let tools = |tools: Value| with(json!({"toolConfig": {"tools": tools}}));
    let schema = |schema: Value| {
        with(
            json!({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}}}),
        )
    };
    let cases = [
        String::new(),
        "{".into(),
        "[]".into(),
        "{}".into(),
        r#"{"messages":[]}"#.into(),
        r#"{"messages":[],"messages":[]}"#.into(),
        with(json!({"messages": {}})),
        messages(json!([7])),
        messages(json!([{"content": []}])),
        messages(json!([{"role": "tool", "content": []}])),
        messages(json!([{"role": "user"}])),
        messages(json!([{"role": "user", "content": "hi"}])),
        with(json!({"system": "be kind"})),
        with(json!({"system": [{"text": 1}]})),
        block(json!({})),
        block(json!({"text": null})),
        block(json!({"text": "a", "image": {}})),
        block(json!({"new": 1, "newer": 2})),
        block(json!("text")),
        block(json!({"text": 7})),
        block(json!({"json": {}})),
        block(json!({"image": {"source": {"bytes": "AAAA"}}})),
        block(json!({"image": {"format": "bmp", "source": {"bytes": "AAAA"}}})),
        block(json!({"image": {"format": "png"}})),
        block(json!({"image": {"format": "png", "source": {}}})),
        block(json!({"image": {"format": "png", "source": {"bytes": "AAAA", "s3Location": {}}}})),
        block(json!({"image": {"format": "png", "source": {"bytes": "@@"}}})),
        block(json!({"image": {"format": "png", "source": {"bytes": ""}}})),
        block(json!({"audio": {"format": "midi", "source": {"bytes": "AAAA"}}})),
        block(json!({"document": {"format": "zip", "name": "a", "source": {"bytes": "AAAA"}}})),
        block(json!({"document": {"format": "pdf", "source": {"bytes": "AAAA"}}})),
        block(json!({"document": {"name": "a", "source": {"content": [{}]}}})),
        block(json!({"document": {"name": "a", "source": {"text": "x"}, "citations": {"enabled": "yes"}}})),
        block(json!({"video": []})),
        block(json!({"cachePoint": {}})),
        block(json!({"cachePoint": {"type": "default", "ttl": "1d"}})),
        block(json!({"searchResult": {"source": "a", "content": []}})),
        block(json!({"reasoningContent": {}})),
        block(call("a")),
        messages(json!([user, assistant(json!([result("a")]))])),
        block(result("a")),
        messages(json!([user, assistant(json!([{"toolUse": {"toolUseId": "a", "name": "f"}}]))])),
        messages(json!([user, assistant(json!([{"toolUse": {"name": "f", "input": {}}}]))])),
        messages(json!([user, assistant(json!([call("a"), call("a")]))])),
        messages(json!([user, assistant(json!([call("a")]))])),
        messages(json!([user, assistant(json!([call("a"), call("b")])), answer(json!([result("b")]))])),
        messages(json!([user, assistant(json!([call("a")])), user, assistant(json!([{"text": "x"}]))])),
        messages(json!([user, assistant(json!([call("a")])), answer(json!([result("b")]))])),
        messages(json!([
            user,
            assistant(json!([call("a")])),
            answer(json!([result("a")])),
            assistant(json!([{"text": "x"}])),
            answer(json!([result("a")]))
        ])),
        messages(json!([
            user,
            assistant(json!([call("a")])),
            answer(json!([{"toolResult": {"toolUseId": "a", "content": [], "status": "meh"}}]))
        ])),
        messages(json!([
            user,
            assistant(json!([call("a")])),
            answer(json!([{"toolResult": {"toolUseId": "a", "content": [result("a")]}}]))
        ])),
        with(json!({"inferenceConfig": []})),
        with(json!({"inferenceConfig": {"maxTokens": 0}})),
        with(json!({"inferenceConfig": {"temperature": 1.1}})),
        with(json!({"inferenceConfig": {"topP": "x"}})),
        with(json!({"inferenceConfig": {"stopSequences": "x"}})),
        with(json!({"inferenceConfig": {"stopSequences": ["a", ""]}})),
        with(json!({"toolConfig": {}})),
        tools(json!([{}])),
        tools(json!([{"toolSpec": {"name": "no spaces", "inputSchema": {"json": {}}}}])),
        tools(json!([{"toolSpec": {"name": "f"}}])),
        tools(json!([{"toolSpec": {"name": "f", "inputSchema": {}}}])),
        tools(json!([{"toolSpec": {"name": "f", "inputSchema": {"json": "{}"}}}])),
        tools(json!([{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}, "systemTool": {"name": "g"}}])),
        with(json!({"toolConfig": {"tools": [spec], "toolChoice": {}}})),
        with(json!({"toolConfig": {"tools": [spec], "toolChoice": {"auto": {}, "any": {}}}})),
        with(json!({"toolConfig": {"tools": [spec], "toolChoice": {"tool": {"name": "g"}}}})),
        schema(json!({"type": "object"})),
        schema(json!("{")),
        schema(json!("[]")),
        with(json!({"outputConfig": {"textFormat": {"type": "xml", "structure": {}}}})),
        with(json!({"requestMetadata": {"a": 1}})),
        with(json!({"serviceTier": "flex"})),
        with(json!({"serviceTier": {}})),
    ];
    let mut report = String::new();
    for body in cases {
        let error = DIALECT.decode_request(body.as_bytes(), &path("m")).expect_err(&body);
        write!(report, "{body}\n    {error} [{}]\n", error.param.as_deref().unwrap_or("-")).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn the_peek_refuses_what_must_not_pass() {
    let cases: &[&[u8]] = &[
        b"",
        b"{",
        br#"{"messages":[]}}"#,
        b"{\"messages\":[],\"x\":\"\xff\"}",
        b"[]",
        br#"{"messages":"hi"}"#,
        br#"{"messages":[],"system":"x"}"#,
        br#"{"messages":[],"messages":[]}"#,
        br#"{"messages":[],"Messages":[]}"#,
        br#"{"messages":[],"inferenceconfig":{"maxTokens":1}}"#,
        br#"{"messages":[],"inferenceConfig":7}"#,
        br#"{"messages":[],"inferenceConfig":{"maxTokens":"9"}}"#,
        br#"{"messages":[],"inferenceConfig":{"maxTokens":0}}"#,
        br#"{"messages":[],"inferenceConfig":{"maxTokens":1,"maxTokens":100}}"#,
    ];
    let mut report = String::new();
    for body in cases {
        let shown = String::from_utf8_lossy(body);
        let error = DIALECT.peek(body, &path("m")).expect_err(&shown);
        write!(report, "{shown}\n    {error} [{}]\n", error.param.as_deref().unwrap_or("-")).unwrap();
    }
    for model in [None, Some("")] {
        let outside = Outside { model, stream: false, version: None, headers: None };
        let error = DIALECT.peek(br#"{"messages":[]}"#, &outside).expect_err("no model");
        writeln!(report, "{model:?}\n    {error}").unwrap();
        assert!(DIALECT.decode_request(br#"{"messages":[]}"#, &outside).is_err());
    }
    insta::assert_snapshot!(report);
}

#[test]
fn depth_costs_no_stack() {
    let nested = |open: &str, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(100_000), close.repeat(100_000))
    };
    let results = nested(r#"{"toolResult":{"toolUseId":"a","content":["#, r#"{"text":"x"}"#, "]}}");
    let array = nested("[", "0", "]");
    let object = nested(r#"{"text":"#, "0", "}");
    for block in [results, array, object] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":[{block}]}}],"x":{block}}}"#);
        assert!(DIALECT.peek(body.as_bytes(), &path("m")).is_ok());
        assert!(DIALECT.decode_request(body.as_bytes(), &path("m")).is_err());
        let reply = format!(r#"{{"output":{{"message":{{"role":"assistant","content":[{block}]}}}}}}"#);
        assert!(DIALECT.decode_response(reply.as_bytes()).is_err());
        let _ = DIALECT.usage_of_reply(reply.as_bytes());
        assert_eq!(DIALECT.vendor_fault(&http::HeaderMap::new(), block.as_bytes()), None);
    }
}

#[test]
fn a_guardrail_that_would_not_run_is_refused() {
    let guarded = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"guardrailConfig":{"guardrailIdentifier":"abc123","guardrailVersion":"1"}}"#;
    let said =
        r#"{"messages":[{"role":"user","content":[{"text":"hi"},{"guardContent":{"text":{"text":"x"}}}]}]}"#;
    for (body, field) in [(guarded, "guardrailConfig"), (said, "messages[0].content[1]")] {
        let request = DIALECT.decode_request(body.as_bytes(), &path("m")).unwrap();
        for wire in [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::BedrockInvokeAnthropic] {
            let (_, losses) = wire.encode_request(&request, &target("m"));
            let refused: Vec<_> = losses
                .iter()
                .filter(|loss| loss.kind == LossKind::Refused)
                .map(|loss| &*loss.field)
                .collect();
            assert_eq!(refused, [field], "{wire:?}");
        }
        let (encoded, losses) = DIALECT.encode_request(&request, &target("m"));
        assert_eq!(losses, []);
        assert!(std::str::from_utf8(&encoded).unwrap().contains("guard"));
    }
}
