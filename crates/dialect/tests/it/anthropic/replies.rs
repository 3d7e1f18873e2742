use std::fmt::Write;

use serde_json::{Value, json};
use steelyard_dialect::Dialect;

use super::DIALECT;
use crate::fixtures;
use crate::wire::context;

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("anthropic/replies") {
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
        let encoded = DIALECT.encode_response(&response, &context());
        let again = DIALECT.decode_response(&encoded).unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(again.usage, response.usage, "{name}");
        assert_eq!(again.choices, response.choices, "{name}");
        let wire = String::from_utf8(encoded.to_vec()).unwrap();
        insta::assert_snapshot!(format!("reply_{name}"), format!("{facts:?}\n\n{response:#?}\n\n{wire}"));
    }
}

#[test]
fn another_vendors_answer_reads_like_anthropics() {
    for (name, body) in fixtures::all("openai_chat/replies") {
        let Ok(response) = Dialect::OpenAiChat.decode_response(&body) else { continue };
        let wire: Value = serde_json::from_slice(&DIALECT.encode_response(&response, &context())).unwrap();
        assert_eq!(
            (&wire["id"], &wire["type"], &wire["role"]),
            (&json!("msg_ours"), &json!("message"), &json!("assistant"))
        );
        assert!(wire["usage"]["input_tokens"].is_u64() && wire["usage"]["output_tokens"].is_u64(), "{name}");
        let shown = json!([wire["content"], wire["stop_reason"], wire["stop_details"], wire["usage"]]);
        insta::assert_snapshot!(
            format!("openai_reply_{name}"),
            serde_json::to_string_pretty(&shown).unwrap()
        );
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    let cases: &[&[u8]] = &[
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        br#"{"content":null}"#,
        br#"{"content":{}}"#,
        br#"{"content":[]} trailing"#,
        br#"{"content":[{"type":"text","text":"cut o"#,
        br#"{"error":"overloaded"}"#,
        b"{\"content\":[],\"id\":\"\xff\"}",
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
