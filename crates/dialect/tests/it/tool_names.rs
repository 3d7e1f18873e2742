//! Names of tools that a target's wire refuses, and the way back to the caller's.

use serde_json::{Value, json};
use steelyard_dialect::chat::{
    ChatRequest, ChatResponse, Choice, FinishReason, Message, Part, ToolCall, ToolInput,
};
use steelyard_dialect::{Dialect, LossKind, Outside, StreamEvent, ToolNames};

use crate::wire::target;

/// Wires, a model of each, and the most letters of a name there.
const TARGETS: [(Dialect, &str, usize); 4] = [
    (Dialect::OpenAiChat, "gpt-6-sol", 64),
    (Dialect::AnthropicMessages, "claude-opus-4-6", 128),
    (Dialect::BedrockConverse, "us.amazon.nova-pro-v1:0", 64),
    (Dialect::OpenAiResponses, "gpt-6-sol", 128),
];

fn gemini(names: &[&str]) -> ChatRequest {
    let functions: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "parametersJsonSchema": {"type": "object"}})).collect();
    let body = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": names[0], "args": {}}}, {"functionCall": {"name": "old.one", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": names[0], "response": {}}}, {"functionResponse": {"name": "old.one", "response": {}}}]},
        ],
        "tools": [{"functionDeclarations": functions}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": names}},
    });
    let outside = Outside { model: Some("m"), stream: false, version: None, headers: None };
    Dialect::GeminiGenerate.decode_request(body.to_string().as_bytes(), &outside).unwrap()
}

/// Every `name` in a request.
fn names(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "name" => out.push(text.to_owned()),
                    _ => names(value, out),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| names(value, out)),
        _ => {}
    }
}

fn fits(name: &str, most: usize) -> bool {
    (1..=most).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[test]
fn a_name_is_sent_in_letters_that_fit_wherever_it_stands() {
    let long = "a".repeat(120) + ".b";
    for (wire, model, most) in TARGETS {
        let request = gemini(&["files.read", "files:read", "plain", &long]);
        let (body, losses) = wire.encode_request(&request, &target(model));
        let mut found = Vec::new();
        names(&serde_json::from_slice(&body).unwrap(), &mut found);
        assert!(found.iter().all(|name| fits(name, most)), "{}: {found:?}", wire.name());
        let mut different = found.clone();
        different.sort_unstable();
        different.dedup();
        // The four of the definitions, and the one of the history.
        assert_eq!(different.len(), 5, "{}: {found:?}", wire.name());
        assert!(found.iter().any(|name| name == "plain"), "{}: {found:?}", wire.name());
        let told: Vec<&str> = losses
            .iter()
            .filter(|loss| loss.field.contains("name"))
            .inspect(|loss| assert_eq!(loss.kind, LossKind::Emulated, "{loss:?}"))
            .map(|loss| loss.field.as_str())
            .collect();
        let expected = [
            "tools[0].functionDeclarations[0].name",
            "tools[0].functionDeclarations[1].name",
            "tools[0].functionDeclarations[3].name",
            "contents[1].parts[1].functionCall.name",
        ];
        assert_eq!(told, expected, "{}", wire.name());
        // What is sent is the same when the conversation goes on.
        assert_eq!(wire.encode_request(&request, &target(model)).0, body);
        let names = ToolNames::of(wire, &request);
        for (callers, sent) in
            ["files.read", "files:read", "plain", &long].into_iter().zip(definitions(wire, &body))
        {
            let mut event = StreamEvent::ToolCallStart {
                choice: 0,
                call: 0,
                id: "t".into(),
                name: sent.clone(),
                custom: false,
            };
            names.restore_event(&mut event);
            assert!(
                matches!(&event, StreamEvent::ToolCallStart { name, .. } if name == callers),
                "{event:?}"
            );
            let mut response = called(&sent);
            names.restore(&mut response);
            assert_eq!(response, called(callers), "{}", wire.name());
        }
    }
}

/// The names of the definitions, in order.
fn definitions(wire: Dialect, body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let tools = if wire == Dialect::BedrockConverse { &body["toolConfig"]["tools"] } else { &body["tools"] };
    let mut found = Vec::new();
    for tool in tools.as_array().unwrap() {
        let tool =
            [&tool["function"], &tool["toolSpec"], tool].into_iter().find(|tool| tool["name"].is_string());
        found.push(tool.unwrap()["name"].as_str().unwrap().to_owned());
    }
    found
}

fn called(name: &str) -> ChatResponse {
    let input = ToolInput::Arguments("{}".into());
    let call = ToolCall { id: "t".into(), name: name.into(), input };
    let message = Message { content: vec![Part::text("a"), Part::ToolCall(call)], ..Message::default() };
    let choice = Choice { index: 0, message, finish: FinishReason::ToolCalls, logprobs: None };
    ChatResponse { choices: vec![choice], ..ChatResponse::default() }
}

fn chat(names: &[&str]) -> ChatRequest {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": tools,
        "tool_choice": {"type": "function", "function": {"name": names[0]}}});
    let outside = Outside { model: None, stream: false, version: None, headers: None };
    Dialect::OpenAiChat.decode_request(body.to_string().as_bytes(), &outside).unwrap()
}

#[test]
fn googles_names_begin_with_a_letter() {
    let request = chat(&["1st-tool", "-x", "fine"]);
    let (body, losses) = Dialect::GeminiGenerate.encode_request(&request, &target("gemini-3.8-flash"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let declared = body["tools"][0]["functionDeclarations"].as_array().unwrap();
    let sent: Vec<&str> = declared.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(
        sent[0].starts_with("_1st-tool_") && sent[1].starts_with("_-x_") && sent[2] == "fine",
        "{sent:?}"
    );
    assert_eq!(body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!([sent[0]]));
    let fields: Vec<&str> = losses.iter().map(|loss| loss.field.as_str()).collect();
    assert_eq!(fields, ["tools[0].function.name", "tools[1].function.name"]);
}

#[test]
fn names_that_fit_are_left_alone_and_none_is_given_twice() {
    let plain = chat(&["find", "look-up"]);
    for (wire, ..) in TARGETS {
        assert_eq!(ToolNames::of(wire, &plain), ToolNames::default(), "{}", wire.name());
    }
    // Another tool has the very name that would be sent.
    let first = gemini(&["a.b"]);
    let (body, _) = Dialect::AnthropicMessages.encode_request(&first, &target("claude-opus-4-6"));
    let taken = definitions(Dialect::AnthropicMessages, &body).remove(0);
    let both = gemini(&["a.b", &taken]);
    let (body, _) = Dialect::AnthropicMessages.encode_request(&both, &target("claude-opus-4-6"));
    let sent = definitions(Dialect::AnthropicMessages, &body);
    assert!(sent[0] != taken && sent[1] == taken && fits(&sent[0], 128), "{sent:?}");
}
