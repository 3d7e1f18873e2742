use serde_json::Value;
use steelyard_dialect::{Dialect, ReplyContext};

use super::DIALECT;
use crate::fixtures;
use crate::wire::context;

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("openai_responses/replies") {
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

/// What the SDKs' types require is there, whichever vendor answered.
#[test]
fn another_vendors_answer_reads_like_openais() {
    let vendors = [
        (Dialect::OpenAiChat, "openai_chat"),
        (Dialect::AnthropicMessages, "anthropic"),
        (Dialect::BedrockConverse, "bedrock"),
        (Dialect::GeminiGenerate, "gemini"),
    ];
    let asked = br#"{"model":"smart","input":"hi","instructions":"be brief","tool_choice":"required","tools":[{"type":"function","name":"find"}]}"#;
    let context = ReplyContext { echo: DIALECT.echo(asked), ..context() };
    for (vendor, folder) in vendors {
        for (name, body) in fixtures::all(&format!("{folder}/replies")) {
            let Ok(response) = vendor.decode_response(&body) else { continue };
            let wire: Value = serde_json::from_slice(&DIALECT.encode_response(&response, &context)).unwrap();
            let head = format!("{folder} {name}: {wire}");
            assert_eq!((&wire["id"], &wire["object"]), (&"msg_ours".into(), &"response".into()), "{head}");
            assert_eq!((&wire["model"], &wire["store"]), (&"smart".into(), &false.into()), "{head}");
            assert_eq!(wire["instructions"], "be brief", "{head}");
            assert_eq!(
                (&wire["tool_choice"], &wire["tools"][0]["name"]),
                (&"required".into(), &"find".into())
            );
            for member in
                ["error", "incomplete_details", "metadata", "parallel_tool_calls", "temperature", "text"]
            {
                assert!(wire.get(member).is_some(), "{member} of {head}");
            }
            assert!(matches!(wire["status"].as_str(), Some("completed" | "incomplete")), "{head}");
            let mut ids = Vec::new();
            for item in wire["output"].as_array().unwrap() {
                ids.push(item["id"].as_str().unwrap());
                match item["type"].as_str().unwrap() {
                    "message" => {
                        for part in item["content"].as_array().unwrap() {
                            let text = part["type"] == "output_text";
                            let whole = part["annotations"].is_array() && part["logprobs"].is_array();
                            assert!(if text { whole } else { part["refusal"].is_string() }, "{head}");
                        }
                    }
                    "function_call" => assert!(item["arguments"].is_string(), "{head}"),
                    "custom_tool_call" => assert!(item["input"].is_string(), "{head}"),
                    "reasoning" => assert!(item["summary"].is_array(), "{head}"),
                    other => panic!("{other}: {head}"),
                }
            }
            let all = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), all, "{head}");
            if let Some(used) = wire["usage"].as_object() {
                assert!(used["input_tokens_details"]["cached_tokens"].is_u64(), "{head}");
                assert!(used["output_tokens_details"]["reasoning_tokens"].is_u64(), "{head}");
            }
        }
    }
}

#[test]
fn a_call_of_a_function_in_a_namespace_is_told_by_its_own_name() {
    let asked = br#"{"model":"m","input":"hi","tools":[{"type":"namespace","name":"git","tools":[{"type":"function","name":"log"}]}]}"#;
    let request = DIALECT.decode_request(asked, &steelyard_dialect::Outside::default()).unwrap();
    assert_eq!(request.tools[0].name, "git__log");
    let body = br#"{"choices":[{"message":{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"git__log","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let response = Dialect::OpenAiChat.decode_response(body).unwrap();
    let context = ReplyContext { echo: DIALECT.echo(asked), ..context() };
    let wire: Value = serde_json::from_slice(&DIALECT.encode_response(&response, &context)).unwrap();
    let item = &wire["output"][0];
    assert_eq!((&item["namespace"], &item["name"]), (&"git".into(), &"log".into()));
}
