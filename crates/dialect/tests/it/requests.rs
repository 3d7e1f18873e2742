use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Value, json};
use steelyard_dialect::{ChatRequest, Dialect, Outside, Target, relay_body};

use crate::fixtures;

const DIALECT: Dialect = Dialect::OpenAiChat;
pub(crate) const NOWHERE: Outside<'static> =
    Outside { model: None, stream: false, version: None, headers: None };
/// A server that speaks the wire takes everything that its clients write, reasoning included.
pub(crate) const SERVER: Target<'static> = Target { model: "m", max_output: None, compatible: true };

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("openai_chat/requests") {
        let request =
            DIALECT.decode_request(&body, &NOWHERE).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (encoded, losses) = DIALECT.encode_request(&request, &SERVER);
        assert_eq!(losses, [], "{name}");
        // The figures are asked for in every stream.
        let request = ChatRequest { model: "m".into(), include_usage: request.stream, ..request };
        let again = DIALECT
            .decode_request(&encoded, &NOWHERE)
            .unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(again, request, "{name}");
        let wire: Value = serde_json::from_slice(&encoded).unwrap();
        let wire = serde_json::to_string_pretty(&wire).unwrap();
        insta::assert_snapshot!(format!("request_{name}"), format!("{request:#?}\n\n{wire}"));
    }
}

#[test]
fn fixtures_are_peeked_and_relayed_with_nothing_else_changed() {
    let mut peeks = String::new();
    for (name, body) in fixtures::all("openai_chat/requests") {
        let body = Bytes::from(body);
        let peek = DIALECT.peek(&body, &NOWHERE).unwrap_or_else(|error| panic!("{name}: {error}"));
        writeln!(peeks, "{name}: {peek:?} {:?}", peek.inject_usage()).unwrap();
        let relayed = relay_body(&body, &peek.model_at, "vendor/\"model\"", peek.inject_usage());
        let mut expected: Value = serde_json::from_slice(&body).unwrap();
        expected["model"] = json!("vendor/\"model\"");
        assert_eq!(serde_json::from_slice::<Value>(&relayed).unwrap(), expected, "{name}");
        let back = DIALECT.peek(&relayed, &NOWHERE).unwrap();
        assert_eq!(back.model, "vendor/\"model\"");
        let restored = relay_body(&relayed, &back.model_at, &peek.model, back.inject_usage());
        assert_eq!(restored, body, "{name}");
    }
    insta::assert_snapshot!(peeks);
}

#[test]
fn wrong_requests_name_the_field_and_the_remedy() {
    let user = json!({"role": "user", "content": "hi"});
    let with = |patch: Value| {
        let mut body = json!({"model": "m", "messages": [user.clone()]});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body.to_string()
    };
    let messages = |messages: Value| with(json!({"messages": messages}));
    let part = |part: Value| messages(json!([{"role": "user", "content": [part]}]));
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let cases = [
        String::new(),
        "{".into(),
        "[]".into(),
        r#"{"model":"m","messages":[]} x"#.into(),
        r#"{"model":"m","model":"n","messages":[]}"#.into(),
        r#"{"messages":[]}"#.into(),
        r#"{"model":"","messages":[]}"#.into(),
        r#"{"model":"m"}"#.into(),
        with(json!({"model": 7})),
        with(json!({"messages": {}})),
        messages(json!([])),
        messages(json!([7])),
        messages(json!([{"content": "x"}])),
        messages(json!([user, {"role": "robot", "content": "x"}])),
        messages(json!([{"role": "user"}])),
        messages(json!([{"role": "user", "content": 5}])),
        r#"{"model":"m","messages":[{"role":"user","role":"system","content":"x"}]}"#.into(),
        part(json!({"text": "x"})),
        part(json!({"type": "video", "video": {}})),
        part(json!({"type": "text"})),
        part(json!({"type": "refusal", "refusal": "no"})),
        messages(json!([{"role": "system", "content": [{"type": "file", "file": {"file_id": "f"}}]}])),
        messages(
            json!([{"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]),
        ),
        part(json!({"type": "image_url", "image_url": {}})),
        part(json!({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})),
        part(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@@"}})),
        part(json!({"type": "image_url", "image_url": {"url": "data:image/png,raw"}})),
        part(json!({"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}})),
        part(json!({"type": "image_url", "image_url": {"url": "https://x", "detail": "ultra"}})),
        part(json!({"type": "input_audio", "input_audio": {"data": "AAA*", "format": "wav"}})),
        part(json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}})),
        part(json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,A"}})),
        part(json!({"type": "file", "file": {}})),
        messages(json!([user, {"role": "tool", "tool_call_id": "c9", "content": "x"}])),
        messages(json!([user, {"role": "tool", "content": "x"}])),
        messages(json!([user, {"role": "assistant", "tool_calls": [call]}, user])),
        messages(json!([user, {"role": "assistant", "tool_calls": [call]}])),
        messages(json!([user, {"role": "assistant", "tool_calls": [call, call]}])),
        messages(json!([
            user, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c1", "content": "x"},
            user, {"role": "tool", "tool_call_id": "c1", "content": "x"}
        ])),
        messages(json!([{"role": "assistant", "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "f", "arguments": {"a": 1}}}]}])),
        messages(json!([{"role": "assistant", "tool_calls": [{"id": "c1", "type": "magic"}]}])),
        messages(json!([{"role": "function", "name": "f", "content": "x"}])),
        with(json!({"stop": ["a", "b", "c", "d", "e"]})),
        with(json!({"stop": 3})),
        with(json!({"n": 0})),
        with(json!({"n": 129})),
        with(json!({"n": 1.5})),
        with(json!({"temperature": 2.1})),
        with(json!({"temperature": "hot"})),
        with(json!({"top_p": -0.1})),
        with(json!({"presence_penalty": 3})),
        with(json!({"max_tokens": -1})),
        with(json!({"max_completion_tokens": 0})),
        with(json!({"top_logprobs": 3})),
        with(json!({"logprobs": true, "top_logprobs": 21})),
        with(json!({"seed": "x"})),
        with(json!({"stream": "yes"})),
        with(json!({"stream_options": true})),
        with(json!({"stream_options": {"include_usage": 1}})),
        with(json!({"metadata": []})),
        with(json!({"modalities": "text"})),
        with(json!({"tools": {}})),
        with(json!({"tools": [{"type": "web_search"}]})),
        with(json!({"tools": [{"type": "function", "function": {"name": "no spaces"}}]})),
        with(json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": "{}"}}]})),
        with(json!({"tools": tools, "tool_choice": "maybe"})),
        with(json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "g"}}})),
        with(json!({"tool_choice": {"type": "oracle"}})),
        with(json!({"tools": tools, "tool_choice": {"type": "allowed_tools", "allowed_tools":
            {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]}}})),
        with(json!({"response_format": {"type": "xml"}})),
        with(json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}})),
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
        b" \n",
        b"{",
        br#"{"model":"m","messages":["#,
        br#"{"model":"m","messages":[]}}"#,
        br#"{"model":"m","messages":[],}"#,
        b"{\"model\":\"m\xff\",\"messages\":[]}",
        b"{\"model\":\"m\",\"messages\":[],\"x\":\"\xff\"}",
        b"[]",
        b"\"model\"",
        br#"{"messages":[]}"#,
        br#"{"model":null,"messages":[]}"#,
        br#"{"model":"","messages":[]}"#,
        br#"{"model":"\ud800","messages":[]}"#,
        br#"{"model":["m"],"messages":[]}"#,
        br#"{"model":"m"}"#,
        br#"{"model":"m","messages":null}"#,
        br#"{"model":"m","messages":"hi"}"#,
        br#"{"model":"a","messages":[],"model":"b"}"#,
        br#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
        br#"{"model":"a","messages":[],"Model":"b"}"#,
        br#"{"model":"a","messages":[],"max_tokens":1,"MAX_TOKENS":100000}"#,
        br#"{"model":"a","messages":[],"n":1,"n":100}"#,
        br#"{"model":"a","messages":[],"stream":1}"#,
        br#"{"model":"a","messages":[],"stream_options":[]}"#,
        br#"{"model":"a","messages":[],"stream_options":{"include_usage":"yes"}}"#,
        br#"{"model":"a","messages":[],"stream_options":{"include_usage":true,"include_usage":false}}"#,
        br#"{"model":"a","messages":[],"max_tokens":-1}"#,
        br#"{"model":"a","messages":[],"max_tokens":1.5}"#,
        br#"{"model":"a","messages":[],"max_completion_tokens":"9"}"#,
        br#"{"model":"a","messages":[],"n":0}"#,
        br#"{"model":"a","messages":[],"store":"true"}"#,
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
        let body = format!(r#"{{"x":{deep},"model":"m","messages":{deep}}}"#);
        let result = DIALECT.peek(body.as_bytes(), &NOWHERE);
        assert_eq!(result.is_ok(), open == "[");
        let body = format!(r#"{{"x":{deep},"model":"m","messages":[{deep}]}}"#);
        assert!(DIALECT.peek(body.as_bytes(), &NOWHERE).is_ok());
        assert!(DIALECT.decode_request(body.as_bytes(), &NOWHERE).is_err());
        assert!(DIALECT.decode_response(body.as_bytes()).is_err());
        assert!(DIALECT.usage_of_reply(body.as_bytes()).is_err());
    }
}
