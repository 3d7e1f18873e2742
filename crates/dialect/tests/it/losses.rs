//! How losses are called: by the caller's own field with its indexes, and only where something is missed.

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use steelyard_dialect::{ChatRequest, Dialect, Outside, Target};

const OPENAI: (Dialect, &str) = (Dialect::OpenAiChat, "gpt-6-sol");
const ANTHROPIC: (Dialect, &str) = (Dialect::AnthropicMessages, "claude-opus-4-6");
const CLAUDE: (Dialect, &str) = (Dialect::BedrockConverse, "us.anthropic.claude-opus-4-6-v1");
const NOVA: (Dialect, &str) = (Dialect::BedrockConverse, "us.amazon.nova-pro-v1:0");
const GEMINI: (Dialect, &str) = (Dialect::GeminiGenerate, "gemini-3.8-flash");
const VENDORS: [(Dialect, &str); 5] = [OPENAI, ANTHROPIC, CLAUDE, NOVA, GEMINI];

fn read(client: Dialect, mut body: Value, headers: Option<&HeaderMap>) -> ChatRequest {
    let members = body.as_object_mut().unwrap();
    match client {
        Dialect::OpenAiChat | Dialect::AnthropicMessages => {
            members.insert("model".into(), "m".into());
            members.insert("max_tokens".into(), 9.into());
        }
        Dialect::BedrockConverse => drop(members.insert("inferenceConfig".into(), json!({"maxTokens": 9}))),
        _ => drop(members.insert("generationConfig".into(), json!({"maxOutputTokens": 9}))),
    }
    let outside = Outside { model: Some("m"), stream: false, version: None, headers };
    let outside = if matches!(client, Dialect::OpenAiChat | Dialect::AnthropicMessages) {
        Outside { model: None, ..outside }
    } else {
        outside
    };
    client.decode_request(body.to_string().as_bytes(), &outside).unwrap()
}

fn write(request: &ChatRequest, (vendor, model): (Dialect, &str)) -> (Value, Vec<String>) {
    let target = Target { model, max_output: None, compatible: false };
    let (body, losses) = vendor.encode_request(request, &target);
    let body = serde_json::from_slice(&body).unwrap();
    (body, losses.into_iter().map(|loss| loss.field).collect())
}

#[track_caller]
fn loses(client: Dialect, body: Value, vendor: (Dialect, &str), names: &[&str]) {
    let (_, found) = write(&read(client, body, None), vendor);
    assert_eq!(found, names, "{} to {}", client.name(), vendor.0.name());
}

#[test]
fn a_loss_is_called_by_the_field_of_its_caller_with_all_indexes() {
    let mark = json!({"type": "ephemeral"});
    let openai = json!({"messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "name": "ann", "odd": 1, "content": [
            {"type": "text", "text": "t", "odd": 1},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        ]},
        {"role": "user", "name": "bob", "content": "t"},
    ]});
    loses(
        Dialect::OpenAiChat,
        openai,
        ANTHROPIC,
        &[
            "messages[1].name",
            "messages[1].odd",
            "messages[1].content[0].odd",
            "messages[1].content[1].image_url.detail",
            "messages[2].name",
        ],
    );
    let anthropic = json!({
        "system": [{"type": "text", "text": "s", "cache_control": mark}],
        "messages": [
            {"role": "user", "content": "t"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [
                {"type": "text", "text": "x"},
                {"type": "text", "text": "y", "cache_control": mark},
                {"type": "search_result", "source": "u", "title": "t", "content": [{"type": "text", "text": "x"}]},
            ]}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": mark}],
    });
    loses(
        Dialect::AnthropicMessages,
        anthropic,
        OPENAI,
        &[
            "tools[0].cache_control",
            "system[0].cache_control",
            "messages[2].content[0].content[1].cache_control",
            "messages[2].content[0].content[2]",
        ],
    );
    let point = json!({"cachePoint": {"type": "default"}});
    let bedrock = json!({
        "system": [{"text": "s"}, point],
        "messages": [
            {"role": "user", "content": [{"text": "t"}, point]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [
                {"text": "x"},
                {"searchResult": {"source": "u", "title": "t", "content": [{"text": "x"}]}},
            ]}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}, point]},
    });
    loses(
        Dialect::BedrockConverse,
        bedrock,
        OPENAI,
        &[
            "toolConfig.tools[1].cachePoint",
            "system[1].cachePoint",
            "messages[0].content[1].cachePoint",
            "messages[2].content[0].toolResult.content[1]",
        ],
    );
    let video = json!({"mime_type": "video/mp4", "data": "AAAA"});
    let gemini = json!({
        "systemInstruction": {"parts": [{"text": "s", "odd": 1}]},
        "contents": [
            {"parts": [{"text": "t"}, {"inline_data": video}, {"fileData": {"fileUri": "files/1"}}]},
            {"role": "model", "parts": [
                {"text": "thinking", "thought": true},
                {"functionCall": {"name": "f", "args": {}}, "thought_signature": "AAAA"},
            ]},
            {"parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}, "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}},
            ]}}]},
        ],
    });
    loses(
        Dialect::GeminiGenerate,
        gemini,
        OPENAI,
        &[
            "systemInstruction.parts[0].odd",
            "contents[0].parts[1].inline_data",
            "contents[0].parts[2].fileData",
            "contents[1].parts[0]",
            "contents[1].parts[1].thought_signature",
            "contents[2].parts[0].functionResponse.parts[1]",
            "contents[2].parts[0].functionResponse",
        ],
    );
}

/// Wherever it stands, and whatever the reader makes of the object that it stands in.
#[test]
fn a_member_that_nobody_knows_is_called_by_its_path() {
    let openai = json!({"messages": [
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "new": 1}, "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "new": 1}},
        ]},
        {"role": "assistant", "tool_calls": [
            // Who puts a streamed answer together sends the number back.
            {"index": 0, "id": "c1", "type": "function", "new": 1, "function": {"name": "f", "arguments": "{}", "new": 1}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "x", "new": 1}]},
    ], "tools": [{"type": "function", "new": 1, "function": {"name": "f"}}]});
    let mut chosen = openai.clone();
    chosen["tool_choice"] = json!({"type": "function", "function": {"name": "f", "new": 1}});
    let names = [
        "messages[0].content[1].cache_control.new",
        "messages[2].content[0].new",
        "messages[0].content[0].image_url.new",
        "messages[0].content[0].cache_control",
        "messages[1].tool_calls[0].function.new",
        "messages[1].tool_calls[0].new",
        "tools[0].new",
        "tool_choice.function.new",
    ];
    let mut found = write(&read(Dialect::OpenAiChat, chosen, None), ANTHROPIC).1;
    found.sort();
    let mut sorted = names.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
    let source = json!({"type": "text", "media_type": "text/plain", "data": "x", "new": []});
    let anthropic = json!({
        "messages": [
            {"role": "user", "content": [
                {"type": "document", "source": source},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png", "new": 1}},
                {"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "new": 1}},
            ]},
            {"role": "assistant", "content": [{"type": "text", "text": "t", "citations": [
                {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": null, "start_char_index": 0,
                 "end_char_index": 1, "file_id": "f", "new": 1},
                {"type": "star_location", "star": 1},
            ]}]},
            {"role": "user", "content": "t"},
        ],
        "thinking": {"type": "disabled", "new": 1},
    });
    let names = [
        "messages[0].content[1].source.new",
        "messages[0].content[2].cache_control.new",
        "messages[1].content[0].citations[0].new",
        "messages[1].content[0].citations[1]",
        "thinking.new",
    ];
    let (body, found) = write(&read(Dialect::AnthropicMessages, anthropic.clone(), None), ANTHROPIC);
    assert_eq!(found, names, "what is not carried is lost on its own wire, too: {body}");
    let invoke = (Dialect::BedrockInvokeAnthropic, "us.anthropic.claude-opus-4-6-v1");
    assert_eq!(write(&read(Dialect::AnthropicMessages, anthropic, None), invoke).1, names);
    let namespace = json!({"model": "m", "input": "hi", "tools": [
        {"type": "namespace", "name": "git", "description": "Git.", "tools": [{"type": "function", "name": "log"}]}
    ]});
    let outside = Outside { model: None, stream: false, version: None, headers: None };
    let request =
        Dialect::OpenAiResponses.decode_request(namespace.to_string().as_bytes(), &outside).unwrap();
    assert_eq!(write(&request, OPENAI).1, ["tools[0].description"]);
}

/// A block that goes on whole loses nothing in it.
#[test]
fn what_is_carried_whole_is_not_unknown() {
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "image", "new": 1, "source": {"type": "url", "url": "https://example.com/a.png", "new": 1}},
        {"type": "container_upload", "file_id": "f", "more": {"new": 1}},
    ]}], "tools": [{"type": "web_search_20250305", "name": "web_search", "new": {"new": 1}}]});
    let invoke = (Dialect::BedrockInvokeAnthropic, "us.anthropic.claude-opus-4-6-v1");
    let (sent, found) = write(&read(Dialect::AnthropicMessages, body.clone(), None), invoke);
    assert_eq!(found, [""; 0]);
    assert_eq!(sent["messages"], body["messages"]);
    assert_eq!(sent["tools"], body["tools"]);
}

#[test]
fn a_picture_in_a_document_that_becomes_text_is_refused() {
    let picture =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let text = json!({"type": "text", "text": "x"});
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "content", "content": [text, picture]}}, {"type": "text", "text": "t"},
    ]}]});
    for vendor in [OPENAI, GEMINI] {
        let names = ["messages[0].content[0].source.content[1]", "messages[0].content[0]"];
        loses(Dialect::AnthropicMessages, body.clone(), vendor, &names);
    }
}

#[test]
fn a_tool_that_says_the_default_loses_nothing() {
    let tool = |more: Value| {
        let mut tool = json!({"name": "f", "input_schema": {"type": "object"}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"messages": [{"role": "user", "content": "t"}], "tools": [tool]})
    };
    for vendor in [OPENAI, CLAUDE, NOVA, GEMINI] {
        let defaults =
            json!({"eager_input_streaming": false, "defer_loading": false, "allowed_callers": ["direct"]});
        loses(Dialect::AnthropicMessages, tool(defaults), vendor, &[]);
        let others = json!({"eager_input_streaming": true, "defer_loading": true, "allowed_callers": ["code_execution_20260120"]});
        let names = ["allowed_callers", "defer_loading", "eager_input_streaming"];
        let names = names.map(|name| format!("tools[0].{name}"));
        loses(Dialect::AnthropicMessages, tool(others), vendor, &names.each_ref().map(String::as_str));
    }
}

/// Anthropic's wire and Bedrock's want the tools of earlier calls defined, which the caller left out.
#[test]
fn earlier_calls_without_tools_are_named_as_the_tools_that_are_not_there() {
    let openai = json!({"messages": [
        {"role": "user", "content": "t"},
        {"role": "assistant", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]});
    let gemini = json!({"contents": [
        {"parts": [{"text": "t"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]},
    ]});
    for (client, body) in [(Dialect::OpenAiChat, &openai), (Dialect::GeminiGenerate, &gemini)] {
        for vendor in VENDORS.into_iter().filter(|(vendor, _)| *vendor != client) {
            let wanted = matches!(vendor.0, Dialect::AnthropicMessages | Dialect::BedrockConverse);
            let (sent, names) = write(&read(client, body.clone(), None), vendor);
            assert_eq!(names, if wanted { vec!["tools"] } else { vec![] }, "{}", vendor.0.name());
            let tools = [&sent["tools"], &sent["toolConfig"]["tools"]];
            assert_eq!(tools.iter().any(|tools| tools.is_array()), wanted, "{sent}");
            // A choice among tools that cannot be called is no choice that was lost.
            let mut none = body.clone();
            if client == Dialect::OpenAiChat {
                none["tool_choice"] = "none".into();
                loses(client, none, vendor, &names.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn betas_reach_claude_by_every_way_and_elsewhere_are_lost_if_they_are_missed() {
    let [million, quiet] = ["context-1m-2025-08-07", "interleaved-thinking-2025-05-14"];
    let management = json!({"edits": [{"type": "clear_tool_uses_20250919"}]});
    let converse = json!({
        "messages": [{"role": "user", "content": [{"text": "t"}]}],
        "additionalModelRequestFields": {"anthropic_beta": [million, quiet], "context_management": management},
    });
    let request = read(Dialect::BedrockConverse, converse, None);
    let (sent, names) = write(&request, ANTHROPIC);
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(sent["context_management"], management);
    assert_eq!(sent.get("anthropic_beta"), None, "{sent}");
    let headers = ANTHROPIC.0.request_headers(&request);
    assert_eq!(headers["anthropic-beta"], format!("{million},{quiet}"));
    let invoke = (Dialect::BedrockInvokeAnthropic, "us.anthropic.claude-opus-4-6-v1");
    let (sent, names) = write(&request, invoke);
    assert!(names.is_empty(), "{names:?}");
    assert_eq!(sent["anthropic_beta"], json!([million, quiet]), "{sent}");
    for vendor in [OPENAI, GEMINI] {
        let names = write(&request, vendor).1;
        let [beta, edits] = ["anthropic_beta", "context_management"];
        assert_eq!(names, [beta, edits].map(|name| format!("additionalModelRequestFields.{name}")));
    }
    let silent = json!({
        "messages": [{"role": "user", "content": [{"text": "t"}]}],
        "additionalModelRequestFields": {"anthropic_beta": [quiet]},
    });
    loses(Dialect::BedrockConverse, silent, OPENAI, &[]);

    let asked =
        HeaderValue::from_str(&format!("{million},fine-grained-tool-streaming-2025-05-14,new-2027-01-01"))
            .unwrap();
    let headers = HeaderMap::from_iter([(http::HeaderName::from_static("anthropic-beta"), asked)]);
    let hi = json!({"messages": [{"role": "user", "content": "t"}]});
    let (sent, names) = write(&read(Dialect::AnthropicMessages, hi, Some(&headers)), CLAUDE);
    assert_eq!(names, ["anthropic-beta: new-2027-01-01"]);
    let betas = &sent["additionalModelRequestFields"]["anthropic_beta"];
    assert_eq!(*betas, json!([million, "fine-grained-tool-streaming-2025-05-14"]));
}

#[test]
fn to_force_a_call_of_tools_that_are_all_left_out_is_refused() {
    let messages = json!([{"role": "user", "content": "t"}]);
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let other = json!({"name": "f", "input_schema": {"type": "object"}});
    let grounding = json!({"systemTool": {"name": "nova_grounding"}});
    let said = json!([{"role": "user", "content": [{"text": "t"}]}]);
    let any = json!({"type": "any"});
    let anthropic =
        |tools: Value, choice: &Value| json!({"messages": messages, "tools": tools, "tool_choice": choice});
    let bedrock = json!({"messages": said, "toolConfig": {"tools": [grounding], "toolChoice": {"any": {}}}});
    let gemini = json!({
        "contents": [{"role": "user", "parts": [{"text": "t"}]}],
        "tools": [{"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    });
    let refusals = |client, body: &Value, (vendor, model): (Dialect, &str)| {
        let target = Target { model, max_output: None, compatible: false };
        let (_, losses) = vendor.encode_request(&read(client, body.clone(), None), &target);
        let fatal = losses.into_iter().filter(|loss| loss.kind == steelyard_dialect::LossKind::Refused);
        fatal.map(|loss| loss.field).collect::<Vec<_>>()
    };
    let forced = anthropic(json!([search]), &any);
    let left = anthropic(json!([search, other]), &any);
    let free = anthropic(json!([search]), &json!({"type": "auto"}));
    for vendor in VENDORS {
        let refused = |other: bool| if other { vec!["tools[0]".to_owned()] } else { Vec::new() };
        let (client, found) = (Dialect::AnthropicMessages, vendor.0 != Dialect::AnthropicMessages);
        assert_eq!(refusals(client, &forced, vendor), refused(found), "{vendor:?}");
        assert_eq!(refusals(client, &left, vendor), refused(false), "{vendor:?}");
        assert_eq!(refusals(client, &free, vendor), refused(false), "{vendor:?}");
        let (client, found) = (Dialect::GeminiGenerate, vendor.0 != Dialect::GeminiGenerate);
        assert_eq!(!refusals(client, &gemini, vendor).is_empty(), found, "{vendor:?}");
        let (client, found) = (Dialect::BedrockConverse, vendor.0 != Dialect::BedrockConverse);
        assert_eq!(!refusals(client, &bedrock, vendor).is_empty(), found, "{vendor:?}");
    }
}

#[test]
fn no_turn_is_made_of_a_mark_alone() {
    let point = json!({"cachePoint": {"type": "default"}});
    let marked = json!({
        "system": [point],
        "messages": [
            {"role": "user", "content": [{"text": "t"}, point]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "x"}]}}, point]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
    });
    let (body, losses) = write(&read(Dialect::BedrockConverse, marked, None), OPENAI);
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|said| said["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool"], "{body}");
    let names =
        ["system[0].cachePoint", "messages[0].content[1].cachePoint", "messages[2].content[1].cachePoint"];
    assert_eq!(losses, names);
}

#[test]
fn openais_models_get_what_they_take() {
    let asked = json!({
        "messages": [{"role": "user", "content": "t"}],
        "temperature": 0.2,
        "top_p": 0.5,
        "stop_sequences": ["a"],
        "thinking": {"type": "adaptive"},
    });
    let sampling = ["temperature", "top_p", "stop_sequences"];
    for (model, names) in [
        ("o3", &["thinking", "temperature", "top_p", "stop_sequences"][..]),
        ("gpt-5-mini", &["thinking", "temperature", "top_p", "stop_sequences"]),
        ("gpt-6-sol", &["thinking", "temperature", "top_p", "stop_sequences"]),
        ("gpt-4o", &["thinking"]),
        ("my-deployment", &["thinking"]),
    ] {
        let (body, losses) =
            write(&read(Dialect::AnthropicMessages, asked.clone(), None), (Dialect::OpenAiChat, model));
        assert_eq!(losses, names, "{model}");
        for (name, member) in sampling.iter().zip(["temperature", "top_p", "stop"]) {
            assert_eq!(body.get(member).is_none(), names.contains(name), "{member} to {model}");
        }
        assert_eq!(body.get("reasoning_effort").is_none(), model == "gpt-4o", "{model}");
    }
    let usual = json!({"messages": [{"role": "user", "content": "t"}], "temperature": 1.0});
    loses(Dialect::AnthropicMessages, usual, (Dialect::OpenAiChat, "o3"), &[]);
}

#[test]
fn what_is_lost_of_googles_settings_is_named_by_its_member() {
    let config = json!({"maxOutputTokens": 9, "mediaResolution": "MEDIA_RESOLUTION_LOW", "odd": 1,
        "thinkingConfig": {"thinkingBudget": 1024, "odd": 1}});
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "t"}]}], "generationConfig": config});
    let outside = Outside { model: Some("m"), stream: false, version: None, headers: None };
    let request = Dialect::GeminiGenerate.decode_request(body.to_string().as_bytes(), &outside).unwrap();
    for vendor in [OPENAI, ANTHROPIC, CLAUDE, NOVA] {
        let (_, found) = write(&request, vendor);
        for member in ["mediaResolution", "odd"] {
            assert!(found.contains(&format!("generationConfig.{member}")), "{member}: {found:?}");
        }
        assert!(!found.contains(&"generationConfig".to_owned()), "{found:?}");
    }
}

/// OpenAI's SDKs read structured answers, and send back what they made of the text beside the text itself.
#[test]
fn what_openais_sdks_made_of_an_answer_is_no_loss() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"go"},
        {"role":"assistant","content":"{\"a\":1}","parsed":{"a":1},"tool_calls":[{"id":"c","type":"function",
            "function":{"name":"f","arguments":"{\"b\":2}","parsed_arguments":{"b":2}}}]},
        {"role":"tool","tool_call_id":"c","content":"done"}]}"#;
    let request = Dialect::OpenAiChat.decode_request(body, &Outside::default()).unwrap();
    for wire in [Dialect::AnthropicMessages, Dialect::BedrockConverse, Dialect::GeminiGenerate] {
        let target = Target { model: "m", max_output: Some(100), compatible: false };
        let (_, losses) = wire.encode_request(&request, &target);
        let names: Vec<_> = losses.iter().map(|loss| loss.field.as_str()).collect();
        assert!(!names.iter().any(|name| name.contains("parsed")), "{wire:?}: {names:?}");
    }
}
