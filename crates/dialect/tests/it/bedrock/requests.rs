use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Value, json};
use steelyard_dialect::chat::{Thinking, ThinkingMode};
use steelyard_dialect::{ChatRequest, Dialect, InjectUsage, LossKind, Outside, Target, relay_body};

use crate::bedrock::{CLAUDE, CLAUDE_ADAPTIVE, DIALECT, path, target};
use crate::fixtures;

fn pretty(json: &[u8]) -> String {
    serde_json::to_string_pretty(&serde_json::from_slice::<Value>(json).unwrap()).unwrap()
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("bedrock/requests") {
        let request =
            DIALECT.decode_request(&body, &path(CLAUDE)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (encoded, losses) = DIALECT.encode_request(&request, &target(CLAUDE));
        assert_eq!(losses, [], "{name}");
        let again = DIALECT
            .decode_request(&encoded, &path(CLAUDE))
            .unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(again, request, "{name}");
        let report = format!("{request:#?}\n\n{}", pretty(&encoded));
        insta::assert_snapshot!(format!("encoded_request_{name}"), report);
    }
}

#[test]
fn fixtures_are_peeked_and_relayed_byte_for_byte() {
    let mut peeks = String::new();
    for (name, body) in fixtures::all("bedrock/requests") {
        let body = Bytes::from(body);
        for stream in [false, true] {
            let outside = Outside { stream, ..path(CLAUDE) };
            let peek = DIALECT.peek(&body, &outside).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((peek.stream, peek.inject_usage()), (stream, InjectUsage::No), "{name}");
            let relayed = relay_body(&body, &peek.model_at, "another", peek.inject_usage());
            assert_eq!(relayed.as_ptr(), body.as_ptr(), "{name}");
            if !stream {
                writeln!(peeks, "{name}: {peek:?}").unwrap();
            }
        }
        let streamed = DIALECT.decode_request(&body, &Outside { stream: true, ..path("m") }).unwrap();
        assert!(streamed.stream && streamed.include_usage && streamed.model == "m", "{name}");
    }
    insta::assert_snapshot!(peeks);
}

#[test]
fn requests_of_openais_clients_become_bedrocks() {
    for (name, body) in fixtures::all("openai_chat/requests") {
        let outside = Outside { model: None, stream: false, version: None, headers: None };
        let request = Dialect::OpenAiChat.decode_request(&body, &outside).unwrap();
        let (encoded, losses) = DIALECT.encode_request(&request, &target(CLAUDE));
        let mut report = String::new();
        for loss in &losses {
            writeln!(report, "{:?} {}: {}", loss.kind, loss.field, loss.why).unwrap();
        }
        // A call that is refused is never made, so its body need not be one that AWS takes.
        let refused = losses.iter().any(|loss| loss.kind == LossKind::Refused);
        let kind = if refused { "refused" } else { "encoded_request" };
        write!(report, "\n{}", pretty(&encoded)).unwrap();
        insta::assert_snapshot!(format!("{kind}_of_openai_{name}"), report);
    }
}

#[test]
fn a_request_of_an_anthropic_client_keeps_all_that_claude_knows() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let body = json!({
        "model": "m",
        "max_tokens": 9000,
        "system": [{"type": "text", "text": "Weigh.", "cache_control": mark}],
        "tools": [
            {"name": "scale", "input_schema": {"type": "object"}, "strict": true, "cache_control": {"type": "ephemeral"}},
            {"type": "web_search_20250305", "name": "web_search"}
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "messages": [
            {"role": "user", "content": [
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "A_b.pdf", "context": "old", "citations": {"enabled": true}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "piece"}]}, "title": "pieces"},
                {"type": "search_result", "source": "https://a", "title": "T", "content": [{"type": "text", "text": "found"}], "citations": {"enabled": true}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}, "cache_control": mark},
                {"type": "text", "text": "Go."}
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "aGlk"},
                {"type": "text", "text": "It weighs.", "citations": [
                    {"type": "char_location", "cited_text": "words", "document_index": 1, "document_title": "x", "start_char_index": 0, "end_char_index": 5},
                    {"type": "page_location", "cited_text": "p", "document_index": 0, "document_title": "A", "start_page_number": 1, "end_page_number": 2}
                ]},
                {"type": "tool_use", "id": "toolu_1", "name": "scale", "input": {"kg": 3}},
                {"type": "tool_use", "id": "toolu_2", "name": "scale", "input": {}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "broken", "is_error": true},
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "3"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}], "cache_control": mark},
                {"type": "text", "text": "And?"}
            ]}
        ]
    });
    let outside = Outside { model: None, stream: false, version: Some("2023-06-01"), headers: None };
    let request = Dialect::AnthropicMessages.decode_request(body.to_string().as_bytes(), &outside).unwrap();
    let (encoded, losses) = DIALECT.encode_request(&request, &target(CLAUDE));
    insta::assert_snapshot!("encoded_request_of_anthropic", format!("{losses:#?}\n\n{}", pretty(&encoded)));
    // And back: what Claude signed is the same on each of its wires.
    let again = DIALECT.decode_request(&encoded, &path(CLAUDE)).unwrap();
    let anthropic = Target { model: "claude-sonnet-4-5", max_output: None, compatible: false };
    let (back, _) = Dialect::AnthropicMessages.encode_request(&again, &anthropic);
    let back: Value = serde_json::from_slice(&back).unwrap();
    for (index, message) in body["messages"].as_array().unwrap().iter().enumerate() {
        let kinds = |message: &Value| -> Vec<String> {
            message["content"].as_array().unwrap().iter().map(|block| block["type"].to_string()).collect()
        };
        assert_eq!(kinds(&back["messages"][index]), kinds(message));
    }
    assert_eq!(back["messages"][1], body["messages"][1]);
    for name in ["system", "thinking", "stop_sequences", "tool_choice"] {
        assert_eq!(back[name], body[name], "{name}");
    }
    assert_eq!(back["tools"][0], body["tools"][0]);
}

/// An OpenAI client's request with these members beside a user's message, for a model of Bedrock's.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a table reads best with its JSON in place")]
fn translate(model: &str, patch: Value) -> (Value, Vec<String>) {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    let outside = Outside { model: None, stream: false, version: None, headers: None };
    let request = Dialect::OpenAiChat.decode_request(body.to_string().as_bytes(), &outside).unwrap();
    write_for(&request, &target(model))
}

fn write_for(request: &ChatRequest, target: &Target<'_>) -> (Value, Vec<String>) {
    let (encoded, losses) = DIALECT.encode_request(request, target);
    let losses = losses.iter().map(|loss| format!("{:?} {}", loss.kind, loss.field)).collect();
    (serde_json::from_slice(&encoded).unwrap(), losses)
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a table reads best with its JSON in place")]
fn check(model: &str, patch: Value, members: Value, losses: &[&str]) {
    let (wire, lost) = translate(model, patch.clone());
    for (name, expected) in members.as_object().unwrap() {
        assert_eq!(&wire[name], expected, "{name} of {patch} for {model}");
    }
    assert_eq!(lost, losses, "{patch} for {model}");
}

#[test]
fn parameters_find_their_places_or_are_named() {
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    check(
        "anthropic.claude-3-haiku-20240307-v1:0",
        json!({"temperature": 1.3, "top_p": 0.5, "response_format": schema}),
        json!({
            "inferenceConfig": {"temperature": 1.0, "topP": 0.5},
            "outputConfig": null,
            "system": [{"text": "Answer with JSON by this schema and nothing else, no text around it, no code fence: {\"type\":\"object\"}"}]
        }),
        &["Emulated temperature", "Emulated response_format"],
    );
    check(
        CLAUDE,
        json!({"stop": ["a", ""]}),
        json!({"inferenceConfig": {"stopSequences": ["a"]}, "additionalModelResponseFieldPaths": ["/stop_sequence"]}),
        &["Dropped stop"],
    );
    check(CLAUDE, json!({"n": 2}), json!({}), &["Refused n"]);
    check(CLAUDE, json!({"n": 1}), json!({}), &[]);
    check(CLAUDE, json!({"logprobs": true}), json!({}), &["Refused logprobs"]);
    check(
        CLAUDE,
        json!({"modalities": ["text", "audio"], "audio": {"voice": "x"}}),
        json!({}),
        &["Refused modalities", "Refused audio"],
    );
    // What is the default of every wire is as good as not said.
    check(CLAUDE, json!({"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}}), json!({}), &[]);
    check(
        CLAUDE,
        json!({"seed": 1, "presence_penalty": 1, "frequency_penalty": 1, "logit_bias": {"7": 1}, "store": true, "verbosity": "low", "x_new": 1}),
        json!({"seed": null}),
        &[
            "Dropped seed",
            "Dropped presence_penalty",
            "Dropped frequency_penalty",
            "Dropped logit_bias",
            "Dropped store",
            "Dropped verbosity",
            "Dropped x_new",
        ],
    );
    for (word, wire, losses) in [
        ("auto", json!(null), &[][..]),
        ("default", json!({"type": "default"}), &[]),
        ("flex", json!({"type": "flex"}), &[]),
        ("scale", json!(null), &["Dropped service_tier"]),
    ] {
        check(CLAUDE, json!({"service_tier": word}), json!({"serviceTier": wire}), losses);
    }
    check(
        CLAUDE,
        json!({"user": "u-1", "metadata": {"a": "b", "bad": "{}", "n": "ä"}}),
        json!({"requestMetadata": {"a": "b", "user": "u-1"}}),
        &["Dropped metadata.bad", "Dropped metadata.n"],
    );
    check(
        CLAUDE,
        json!({"response_format": {"type": "json_object"}}),
        json!({"outputConfig": null}),
        &["Emulated response_format"],
    );
    check(
        CLAUDE,
        json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}}),
        json!({"outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{\"type\":\"object\"}", "name": "n"}}}}}),
        &[],
    );
    let request = ChatRequest { max_output_tokens: Some(9000), top_k: Some(7), ..ChatRequest::default() };
    let limited = Target { max_output: Some(4096), ..target(CLAUDE) };
    let (wire, lost) = write_for(&request, &limited);
    assert_eq!(wire["inferenceConfig"], json!({"maxTokens": 4096}));
    assert_eq!(wire["additionalModelRequestFields"], json!({"top_k": 7}));
    assert_eq!(lost, ["Emulated max_output_tokens"]);
    let (wire, _) = write_for(&request, &target("us.amazon.nova-pro-v1:0"));
    assert_eq!(wire["additionalModelRequestFields"], json!({"inferenceConfig": {"topK": 7}}));
    let (_, lost) = write_for(&request, &target("meta.llama3-3-70b-instruct-v1:0"));
    assert_eq!(lost, ["Dropped top_k"]);
}

#[test]
fn effort_is_said_as_each_model_understands_it() {
    let budget = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    let fields = |fields: Value| json!({"additionalModelRequestFields": fields, "outputConfig": null});
    let both = |thinking: &str, effort: &str| json!({"additionalModelRequestFields": {"thinking": {"type": thinking}}, "outputConfig": {"effort": effort}});
    let effort = |effort: &str| json!({"reasoning_effort": effort});
    let nothing = fields(json!(null));
    let (emulated, dropped) = ("Emulated reasoning_effort", "Dropped reasoning_effort");
    // By a budget.
    check(CLAUDE, effort("high"), fields(budget(32_768)), &[emulated]);
    check(CLAUDE, effort("none"), nothing.clone(), &[]);
    check(CLAUDE, effort("odd"), nothing.clone(), &[dropped]);
    check(
        CLAUDE,
        json!({"reasoning_effort": "high", "max_tokens": 8000}),
        fields(budget(4000)),
        &[emulated, emulated],
    );
    check(
        CLAUDE,
        json!({"reasoning_effort": "high", "max_tokens": 1024}),
        nothing.clone(),
        &[emulated, dropped],
    );
    check(
        CLAUDE,
        json!({"reasoning_effort": "low", "temperature": 0.2}),
        nothing.clone(),
        &[emulated, dropped],
    );
    check(
        "anthropic.claude-3-7-sonnet-20250219-v1:0",
        json!({"reasoning_effort": "low", "top_p": 0.5, "temperature": 1}),
        json!({"inferenceConfig": {"temperature": 1.0}, "additionalModelRequestFields": budget(4096)}),
        &[emulated, "Dropped top_p"],
    );
    // By an effort.
    check(CLAUDE_ADAPTIVE, effort("max"), both("adaptive", "max"), &[]);
    check(CLAUDE_ADAPTIVE, effort("minimal"), both("adaptive", "low"), &[emulated]);
    check(CLAUDE_ADAPTIVE, effort("none"), fields(json!({"thinking": {"type": "disabled"}})), &[]);
    check(CLAUDE_ADAPTIVE, json!({}), nothing.clone(), &[]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    check(
        CLAUDE_ADAPTIVE,
        json!({"reasoning_effort": "max", "tools": tools, "tool_choice": "required"}),
        both("disabled", "high"),
        &[dropped, emulated],
    );
    let newest = "anthropic.claude-opus-5-v1:0";
    check(
        newest,
        json!({"reasoning_effort": "xhigh", "temperature": 0.1}),
        json!({"outputConfig": {"effort": "xhigh"}, "inferenceConfig": null}),
        &["Dropped temperature"],
    );
    let request = ChatRequest {
        thinking: Some(Thinking { mode: ThinkingMode::Budget(30_000), display: None }),
        ..ChatRequest::default()
    };
    let (wire, losses) = write_for(&request, &target(newest));
    assert_eq!(wire["outputConfig"], json!({"effort": "high"}));
    assert_eq!(
        (&wire["additionalModelRequestFields"], losses),
        (&json!({"thinking": {"type": "adaptive"}}), vec!["Emulated thinking".into()])
    );
    // By a word of its own, or not at all.
    check(
        "openai.gpt-oss-120b-1:0",
        effort("minimal"),
        fields(json!({"reasoning_effort": "low"})),
        &[emulated],
    );
    let unknown = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x";
    for model in ["us.amazon.nova-pro-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0", unknown] {
        check(model, effort("low"), nothing.clone(), &[dropped]);
    }
    // The loop's reasoning is missing: Claude would refuse to go on thinking.
    let call = json!({"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "x"},
        {"role": "assistant", "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "y"}
    ]);
    check(
        CLAUDE,
        json!({"reasoning_effort": "high", "messages": messages, "tools": tools}),
        nothing,
        &["Dropped messages[1].reasoning_content", emulated, dropped],
    );
}

#[test]
fn tools_that_must_not_be_called_are_named_if_they_were() {
    let tools = json!([
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g"}}
    ]);
    let spec =
        |name: &str, schema: Value| json!({"toolSpec": {"name": name, "inputSchema": {"json": schema}}});
    let [f, g] =
        [spec("f", json!({"type": "object"})), spec("g", json!({"type": "object", "properties": {}}))];
    let config = |config: Value| json!({"toolConfig": config});
    check(CLAUDE, json!({"tools": tools}), config(json!({"tools": [f, g]})), &[]);
    check(
        CLAUDE,
        json!({"tools": tools, "tool_choice": "auto"}),
        config(json!({"tools": [f, g], "toolChoice": {"auto": {}}})),
        &[],
    );
    check(
        CLAUDE,
        json!({"tools": tools, "tool_choice": "required"}),
        config(json!({"tools": [f, g], "toolChoice": {"any": {}}})),
        &[],
    );
    check(CLAUDE, json!({"tools": tools, "tool_choice": "none"}), config(json!(null)), &[]);
    let one = json!({"type": "function", "function": {"name": "g"}});
    check(
        CLAUDE,
        json!({"tools": tools, "tool_choice": one}),
        config(json!({"tools": [f, g], "toolChoice": {"tool": {"name": "g"}}})),
        &[],
    );
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [one]}});
    check(
        CLAUDE,
        json!({"tools": tools, "tool_choice": allowed}),
        config(json!({"tools": [g], "toolChoice": {"any": {}}})),
        &["Emulated tool_choice"],
    );
    check(
        CLAUDE,
        json!({"tools": tools, "parallel_tool_calls": false, "tool_choice": "required"}),
        json!({"toolConfig": {"tools": [f, g]}, "additionalModelRequestFields": {"tool_choice": {"type": "any", "disable_parallel_tool_use": true}}}),
        &[],
    );
    check(
        "us.amazon.nova-pro-v1:0",
        json!({"tools": tools, "parallel_tool_calls": false}),
        config(json!({"tools": [f, g]})),
        &["Dropped parallel_tool_calls"],
    );
    let call =
        |name: &str| json!({"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}});
    let history = |name: &str| {
        json!([
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [call(name)]},
            {"role": "tool", "tool_call_id": "c1", "content": "y"},
        ])
    };
    let forbidden = |spec: &Value| json!({"toolConfig": {"tools": [spec]}, "system": [{"text": "Do not call any tool now. Answer in text."}]});
    check(
        CLAUDE,
        json!({"messages": history("f"), "tools": tools, "tool_choice": "none"}),
        forbidden(&f),
        &["Emulated tool_choice"],
    );
    check(
        CLAUDE,
        json!({"messages": history("gone")}),
        forbidden(&spec("gone", json!({"type": "object", "properties": {}}))),
        &["Emulated tools"],
    );
    let custom = json!([{"type": "custom", "custom": {"name": "c"}}]);
    check(CLAUDE, json!({"tools": custom}), config(json!(null)), &["Refused tools[0]"]);
}

#[test]
fn turns_alternate_and_results_come_first() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let long = "x".repeat(70);
    let (wire, losses) = translate(
        CLAUDE,
        json!({"messages": [
            {"role": "system", "content": "A"},
            {"role": "developer", "content": "B"},
            {"role": "user", "content": "one"},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": " \n"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "tool_calls": [call(&long, ""), call("b", "[1]")]},
            {"role": "tool", "tool_call_id": "b", "content": "rb"},
            {"role": "tool", "tool_call_id": long, "content": ""},
            {"role": "system", "content": "C"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "three"},
            {"role": "assistant", "tool_calls": [call("b", "{\"a\":")]},
            {"role": "tool", "tool_call_id": "b", "content": "again"},
            {"role": "assistant", "content": "So \n"}
        ]}),
    );
    assert_eq!(
        wire["system"],
        json!([{"text": "A"}, {"text": "B"}, {"text": "Do not call any tool now. Answer in text."}])
    );
    let short = wire["messages"][1]["content"][0]["toolUse"]["toolUseId"].as_str().unwrap();
    assert!(short.len() <= 64 && short.starts_with("xxxx"), "{short}");
    assert_eq!(
        wire["messages"],
        json!([
            {"role": "user", "content": [{"text": "one"}, {"text": "two"}]},
            {"role": "assistant", "content": [
                {"toolUse": {"toolUseId": short, "name": "f", "input": {}}},
                {"toolUse": {"toolUseId": "b", "name": "f", "input": {"arguments": "[1]"}}}
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "b", "content": [{"text": "rb"}]}},
                {"toolResult": {"toolUseId": short, "content": []}},
                {"text": "<system>\nC\n</system>"},
                {"text": "three"}
            ]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "b-2", "name": "f", "input": {"arguments": "{\"a\":"}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "b-2", "content": [{"text": "again"}]}}]},
            {"role": "assistant", "content": [{"text": "So \n"}]},
            {"role": "user", "content": [{"text": "Go on."}]}
        ])
    );
    assert_eq!(
        losses,
        [
            "Dropped messages[3].name",
            "Dropped messages[3].content[0]",
            "Emulated messages[4].tool_calls[1]",
            "Emulated messages[7]",
            "Emulated messages[10].tool_calls[0]",
            "Emulated messages[12]",
            "Emulated tools",
        ]
    );
    let (wire, losses) = translate(CLAUDE, json!({"messages": [{"role": "system", "content": "A"}]}));
    assert_eq!(wire["messages"], json!([{"role": "user", "content": [{"text": "A"}]}]));
    assert_eq!(losses, ["Emulated messages[0]"]);
}

#[test]
fn media_are_sent_as_bytes_or_refused() {
    let user = |parts: Value| json!({"messages": [{"role": "user", "content": parts}]});
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let content = |blocks: Value| json!({"messages": [{"role": "user", "content": blocks}]});
    check(
        CLAUDE,
        user(json!([image("data:image/jpg;base64,AAAA"), image("data:IMAGE/WebP;base64,AAAA")])),
        content(
            json!([{"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}, {"image": {"format": "webp", "source": {"bytes": "AAAA"}}}]),
        ),
        &[],
    );
    check(
        CLAUDE,
        user(json!([image("data:image/bmp;base64,AAAA")])),
        json!({}),
        &["Refused messages[0].content[0]"],
    );
    check(
        CLAUDE,
        user(json!([image("https://example.com/a.png")])),
        json!({}),
        &["Refused messages[0].content[0]"],
    );
    let detailed =
        json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}});
    check(CLAUDE, user(json!([detailed])), json!({}), &["Dropped messages[0].content[0].image_url.detail"]);
    let audio =
        |format: &str| json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": format}});
    check(
        CLAUDE,
        user(json!([audio("mp3")])),
        content(json!([{"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}}])),
        &[],
    );
    check(CLAUDE, user(json!([audio("midi")])), json!({}), &["Refused messages[0].content[0]"]);
    let file = |file: Value| json!({"type": "file", "file": file});
    let document = |format: &str, name: &str| json!({"document": {"format": format, "name": name, "source": {"bytes": "AAAA"}}});
    check(
        CLAUDE,
        user(json!([
            file(json!({"file_data": "data:application/pdf;base64,AAAA", "filename": "q3_report.pdf"})),
            file(json!({"file_data": "AAAA", "filename": "q3_report.pdf"})),
            file(json!({"file_data": "data:text/markdown;base64,AAAA"}))
        ])),
        content(json!([
            document("pdf", "q3-report-pdf"),
            document("pdf", "q3-report-pdf (2)"),
            document("md", "document"),
            {"text": "Here is a document."}
        ])),
        &[],
    );
    check(
        CLAUDE,
        user(json!([file(json!({"file_data": "AAAA"}))])),
        json!({}),
        &["Refused messages[0].content[0]"],
    );
    check(
        CLAUDE,
        user(json!([file(json!({"file_id": "f"}))])),
        json!({}),
        &["Refused messages[0].content[0]"],
    );
}
