use std::fmt::Write;

use serde_json::{Value, json};
use steelyard_dialect::chat::{Part, ThinkingMode, ToolChoice};
use steelyard_dialect::{Dialect, LossKind, Outside};

use super::{DIALECT, GEMINI, GEMINI_2_5, PATH};
use crate::fixtures;
use crate::wire::target;

fn pretty(body: &[u8]) -> String {
    let wire: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&wire).unwrap()
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("gemini/requests") {
        let request = DIALECT.decode_request(&body, &PATH).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (encoded, losses) = DIALECT.encode_request(&request, &target(GEMINI));
        let again =
            DIALECT.decode_request(&encoded, &PATH).unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(losses, [], "{name}");
        assert_eq!(again, request, "{name}");
        let shown = format!("{request:#?}\n\n{}", pretty(&encoded));
        insta::assert_snapshot!(format!("request_{name}"), shown);
    }
}

#[test]
fn fixtures_are_peeked() {
    let mut peeks = String::new();
    for (name, body) in fixtures::all("gemini/requests") {
        let peek = DIALECT.peek(&body, &PATH).unwrap_or_else(|error| panic!("{name}: {error}"));
        writeln!(peeks, "{name}: {peek:?}").unwrap();
    }
    insta::assert_snapshot!(peeks);
}

#[test]
fn another_wires_requests_become_geminis() {
    let clients = [
        (Dialect::OpenAiChat, "openai_chat", None),
        (Dialect::AnthropicMessages, "anthropic", None),
        (Dialect::BedrockConverse, "bedrock", Some("m")),
    ];
    for (client, folder, model) in clients {
        for (name, body) in fixtures::all(&format!("{folder}/requests")) {
            let outside = Outside { model, stream: false, version: None, headers: None };
            let request = client.decode_request(&body, &outside).unwrap();
            for model in [GEMINI, GEMINI_2_5] {
                let (encoded, losses) = DIALECT.encode_request(&request, &target(model));
                let refused = losses.iter().any(|loss| loss.kind == LossKind::Refused);
                let again = DIALECT.decode_request(&encoded, &PATH);
                assert!(refused || again.is_ok(), "{folder} {name}: {:?}", again.err());
                let mut lines = String::new();
                for loss in &losses {
                    writeln!(lines, "{:?} {}: {}", loss.kind, loss.field, loss.why).unwrap();
                }
                insta::assert_snapshot!(
                    format!("{folder}_{name}_{model}"),
                    format!("{}\n\n{lines}", pretty(&encoded))
                );
            }
        }
    }
}

/// What is sent of thinking, and what is named as lost.
#[test]
fn thinking_fits_the_model() {
    let mut report = String::new();
    let openai = ["none", "minimal", "low", "high", "max", "extreme"]
        .map(|effort| json!({"reasoning_effort": effort}));
    let anthropics = [
        json!({"thinking": {"type": "disabled"}}),
        json!({"thinking": {"type": "adaptive"}}),
        json!({"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        json!({"thinking": {"type": "enabled", "budget_tokens": 40_000}}),
    ];
    let wires = openai.iter().map(|patch| (Dialect::OpenAiChat, patch));
    for (client, patch) in wires.chain(anthropics.iter().map(|patch| (Dialect::AnthropicMessages, patch))) {
        let mut body =
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50_000});
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let request = client.decode_request(body.to_string().as_bytes(), &Outside::default()).unwrap();
        writeln!(report, "{} {patch}", client.name()).unwrap();
        for model in
            ["gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", GEMINI]
        {
            let (encoded, losses) = DIALECT.encode_request(&request, &target(model));
            let wire: Value = serde_json::from_slice(&encoded).unwrap();
            let lost: Vec<String> =
                losses.iter().map(|loss| format!("{:?} {}: {}", loss.kind, loss.field, loss.why)).collect();
            writeln!(report, "  {model}: {} {}", wire["generationConfig"]["thinkingConfig"], lost.join("; "))
                .unwrap();
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn faults_name_their_place_as_the_client_wrote_it() {
    let hi = json!({"role": "user", "parts": [{"text": "hi"}]});
    let call = json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]});
    let answer = json!({"role": "user", "parts": [{"functionResponse": {"name": "g", "response": {}}}]});
    let cases = [
        (json!({}), "contents"),
        (json!({"contents": []}), "contents"),
        (json!({"contents": [{"role": "bot", "parts": []}]}), "contents[0].role"),
        (json!({"contents": [{"parts": [{}]}]}), "contents[0].parts[0]"),
        (json!({"contents": [{"parts": [{"text": "a", "inline_data": {}}]}]}), "contents[0].parts[0]"),
        (
            json!({"contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "?"}}]}]}),
            "contents[0].parts[0].inlineData.data",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}),
            "contents[0].parts[0].functionCall",
        ),
        (json!({"contents": [hi, call]}), "contents[2]"),
        (json!({"contents": [hi, call, hi]}), "contents[2]"),
        (json!({"contents": [hi, call, answer]}), "contents[2].parts[0].functionResponse"),
        (json!({"contents": [answer]}), "contents[0].parts[0].functionResponse"),
        (
            json!({"contents": [hi], "generation_config": {"max_output_tokens": -1}}),
            "generation_config.max_output_tokens",
        ),
        (json!({"contents": [hi], "generationConfig": {"topP": 2}}), "generationConfig.topP"),
        (
            json!({"contents": [hi], "generationConfig": {"responseSchema": {}}}),
            "generationConfig.responseMimeType",
        ),
        (
            json!({"contents": [hi], "tools": [{"function_declarations": [{"name": "1"}]}]}),
            "tools[0].function_declarations[0].name",
        ),
        (
            json!({"contents": [hi], "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}),
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            json!({"contents": [hi], "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}}),
            "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
        ),
    ];
    for (body, at) in cases {
        let error = DIALECT.decode_request(body.to_string().as_bytes(), &PATH).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(at), "{body}: {error}");
        assert!(error.to_string().contains(&format!("`{at}")), "{body}: {error}");
    }
}

#[test]
fn results_find_their_calls_by_name_and_order() {
    let body = fixtures::one("gemini/requests/tools_parallel.json");
    let request = DIALECT.decode_request(&body, &PATH).unwrap();
    let answered: Vec<&str> = request
        .messages
        .iter()
        .flat_map(|message| &message.content)
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some(result.call_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(answered, ["call_0", "x1", "call_1"]);
}

#[test]
fn a_proof_is_asked_back_from_those_who_never_had_it() {
    let body = json!({"model": "m", "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"}
    ]});
    let request =
        Dialect::OpenAiChat.decode_request(body.to_string().as_bytes(), &Outside::default()).unwrap();
    for (model, expected) in [(GEMINI, json!("skip_thought_signature_validator")), (GEMINI_2_5, json!(null))]
    {
        let (encoded, losses) = DIALECT.encode_request(&request, &target(model));
        assert_eq!(losses, [], "{model}");
        let wire: Value = serde_json::from_slice(&encoded).unwrap();
        let parts = &wire["contents"][1]["parts"];
        assert_eq!((&parts[0]["thoughtSignature"], &parts[1]["thoughtSignature"]), (&expected, &json!(null)));
    }
}

#[test]
fn another_vendor_does_without_googles_proofs_and_not_without_its_content() {
    let lost = |body: &Value, vendor: Dialect, model: &str| -> Vec<String> {
        let request = DIALECT.decode_request(body.to_string().as_bytes(), &PATH).unwrap();
        let (_, losses) = vendor.encode_request(&request, &target(model));
        losses.iter().map(|loss| format!("{:?} {}", loss.kind, loss.field)).collect()
    };
    let hi = json!({"role": "user", "parts": [{"text": "hi"}]});
    let signed = json!({"contents": [hi, {"role": "model", "parts": [
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AAAA"}
    ]}, {"parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]}],
        "tools": [{"functionDeclarations": [{"name": "f"}]}], "generationConfig": {"maxOutputTokens": 9}});
    let kept = json!({"contents": [hi], "generationConfig": {"maxOutputTokens": 9}, "cachedContent": "cachedContents/x"});
    let image = json!({"contents": [hi], "generationConfig": {"maxOutputTokens": 9, "responseModalities": ["IMAGE"]}});
    for (vendor, model) in [
        (Dialect::OpenAiChat, "gpt-6-sol"),
        (Dialect::AnthropicMessages, "claude-opus-4-6"),
        (Dialect::BedrockConverse, "us.amazon.nova-pro-v1:0"),
    ] {
        let proof = "Dropped contents[1].parts[0].thoughtSignature";
        assert_eq!(lost(&signed, vendor, model), [proof], "{}", vendor.name());
        assert_eq!(lost(&kept, vendor, model), ["Refused cachedContent"], "{}", vendor.name());
        assert_eq!(
            lost(&image, vendor, model),
            ["Refused generationConfig.responseModalities"],
            "{}",
            vendor.name()
        );
    }
}

#[test]
fn what_is_said_in_other_words_means_the_same() {
    let body = json!({"contents": [{"parts": [{"text": "hi"}]}],
        "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["f", "g"]}},
        "generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}});
    let request = DIALECT.decode_request(body.to_string().as_bytes(), &PATH).unwrap();
    let names = vec!["f".to_owned(), "g".to_owned()];
    assert_eq!(request.tool_choice, Some(ToolChoice::Allowed { required: true, names }));
    assert_eq!(request.thinking.unwrap().mode, ThinkingMode::Adaptive);
}
