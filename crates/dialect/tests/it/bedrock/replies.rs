use std::fmt::Write;

use serde_json::Value;
use steelyard_dialect::Dialect;

use crate::bedrock::{DIALECT, context};
use crate::fixtures;

fn pretty(json: &[u8]) -> String {
    serde_json::to_string_pretty(&serde_json::from_slice::<Value>(json).unwrap()).unwrap()
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("bedrock/replies") {
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
        assert_eq!((facts.usage, &facts.service_tier), (response.usage, &response.service_tier), "{name}");
        let encoded = DIALECT.encode_response(&response, &context());
        let again = DIALECT.decode_response(&encoded).unwrap_or_else(|error| panic!("{name} again: {error}"));
        assert_eq!(again, response, "{name}");
        let report = format!("{facts:?}\n\n{response:#?}\n\n{}", pretty(&encoded));
        insta::assert_snapshot!(format!("encoded_reply_{name}"), report);
    }
}

#[test]
fn answers_of_other_vendors_read_like_bedrocks() {
    for (name, body) in fixtures::all("openai_chat/replies") {
        let Ok(response) = Dialect::OpenAiChat.decode_response(&body) else { continue };
        let encoded = DIALECT.encode_response(&response, &context());
        let again = DIALECT.decode_response(&encoded).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(again.choices.len() == 1 && again.usage.is_some() == response.usage.is_some(), "{name}");
        insta::assert_snapshot!(format!("encoded_reply_of_openai_{name}"), format!("\n{}", pretty(&encoded)));
    }
}

#[test]
fn what_is_no_answer_is_an_error() {
    let cases: &[&[u8]] = &[
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        br#"{"output":null}"#,
        br#"{"output":{}}"#,
        br#"{"output":{"message":{"role":"assistant"}}}"#,
        br#"{"output":{"message":{"content":{}}}}"#,
        br#"{"output":{"message":{"content":[]}}} trailing"#,
        br#"{"output":{"message":{"role":"assistant","content":[{"text":"cut o"#,
        br#"{"message":"overloaded"}"#,
        br#"{"Message":"no","__type":"AccessDeniedException"}"#,
        b"{\"output\":{\"message\":{\"content\":[]}},\"x\":\"\xff\"}",
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
