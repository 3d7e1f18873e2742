use std::fmt::Write;

use serde_json::{Value, json};
use steelyard_dialect::Dialect;

use super::DIALECT;
use crate::fixtures;
use crate::wire::context;

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("gemini/replies") {
        let facts = DIALECT.usage_of_reply(&body);
        let response = match DIALECT.decode_response(&body) {
            Ok(response) => response,
            Err(error) => {
                assert!(facts.is_err(), "{name}");
                insta::assert_snapshot!(format!("reply_{name}"), format!("{error:?}"));
                continue;
            }
        };
        let facts = facts.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(facts.usage, response.usage, "{name}");
        assert_eq!(facts.service_tier, response.service_tier, "{name}");
        let encoded = DIALECT.encode_response(&response, &context());
        let again = DIALECT.decode_response(&encoded).unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(again.usage, response.usage, "{name}");
        assert_eq!(again.choices, response.choices, "{name}");
        let wire = String::from_utf8(encoded.to_vec()).unwrap();
        insta::assert_snapshot!(format!("reply_{name}"), format!("{facts:?}\n\n{response:#?}\n\n{wire}"));
    }
}

#[test]
fn another_vendors_answer_reads_like_geminis() {
    let vendors = [
        (Dialect::OpenAiChat, "openai_chat"),
        (Dialect::AnthropicMessages, "anthropic"),
        (Dialect::BedrockConverse, "bedrock"),
    ];
    for (vendor, folder) in vendors {
        for (name, body) in fixtures::all(&format!("{folder}/replies")) {
            let Ok(response) = vendor.decode_response(&body) else { continue };
            let wire: Value =
                serde_json::from_slice(&DIALECT.encode_response(&response, &context())).unwrap();
            assert_eq!((&wire["responseId"], &wire["modelVersion"]), (&json!("msg_ours"), &json!("smart")));
            for candidate in wire["candidates"].as_array().unwrap() {
                assert_eq!(candidate["content"]["role"], "model", "{folder} {name}");
                assert!(
                    candidate["finishReason"].is_string() && candidate["index"].is_u64(),
                    "{folder} {name}"
                );
                for part in candidate["content"]["parts"].as_array().unwrap() {
                    let call = &part["functionCall"];
                    assert!(call.is_null() || call["args"].is_object(), "{folder} {name}");
                }
            }
            let shown = json!([wire["candidates"], wire["usageMetadata"]]);
            insta::assert_snapshot!(
                format!("{folder}_reply_{name}"),
                serde_json::to_string_pretty(&shown).unwrap()
            );
        }
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    let cases: &[&[u8]] = &[
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        br#"{"candidates":null}"#,
        br#"{"candidates":{}}"#,
        br#"{"candidates":[]} trailing"#,
        br#"{"promptFeedback":5}"#,
        br#"{"candidates":[7]}"#,
        br#"{"candidates":[{"content":{"parts":[{"text":"cut o"#,
        br#"{"error":{"message":"overloaded"}}"#,
        b"{\"candidates\":[],\"responseId\":\"\xff\"}",
    ];
    let mut report = String::new();
    for body in cases {
        let shown = String::from_utf8_lossy(body);
        let facts = DIALECT.usage_of_reply(body).expect_err(&shown);
        let decoded = DIALECT.decode_response(body).expect_err(&shown);
        write!(report, "{shown}\n    {facts}\n    {decoded}\n").unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn calls_of_two_answers_never_share_an_id() {
    let answer = |id: &str| {
        let body = json!({"responseId": id, "candidates": [{"content": {"parts": [
            {"functionCall": {"name": "find", "args": {}}}, {"functionCall": {"name": "find", "args": {}}}
        ]}, "finishReason": "STOP"}]});
        let response = DIALECT.decode_response(body.to_string().as_bytes()).unwrap();
        let openai: Value =
            serde_json::from_slice(&Dialect::OpenAiChat.encode_response(&response, &context())).unwrap();
        let calls = openai["choices"][0]["message"]["tool_calls"].as_array().unwrap().clone();
        calls.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(answer("aK/x=_Z"), ["call_aKx_Z_0", "call_aKx_Z_1"]);
    assert_eq!(answer("other"), ["call_other_0", "call_other_1"]);
}
