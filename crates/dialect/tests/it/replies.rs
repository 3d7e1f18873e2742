use std::fmt::Write;

use steelyard_dialect::{Dialect, ReplyContext};

use crate::fixtures;

const DIALECT: Dialect = Dialect::OpenAiChat;

fn context() -> ReplyContext {
    ReplyContext {
        id: "chatcmpl-ours".into(),
        model: "smart".into(),
        created: 1_795_000_002,
        include_usage: true,
        elapsed_ms: 7,
        echo: None,
    }
}

#[test]
fn fixtures_decode_and_keep_their_meaning_when_encoded() {
    for (name, body) in fixtures::all("openai_chat/replies") {
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
        for (again, choice) in again.choices.iter().zip(&response.choices) {
            assert_eq!(again.message, choice.message, "{name}");
            assert_eq!(again.logprobs, choice.logprobs, "{name}");
        }
        let wire = String::from_utf8(encoded.to_vec()).unwrap();
        insta::assert_snapshot!(format!("reply_{name}"), format!("{facts:?}\n\n{response:#?}\n\n{wire}"));
    }
}

#[test]
fn what_is_no_completion_is_an_error() {
    let cases: &[&[u8]] = &[
        b"",
        b"<html>502 Bad Gateway</html>",
        b"[]",
        b"{}",
        br#"{"choices":null}"#,
        br#"{"choices":{}}"#,
        br#"{"choices":[]} trailing"#,
        br#"{"choices":[{"message":{"role":"assistant","content":"cut o"#,
        br#"{"error":"overloaded"}"#,
        br#"{"object":"error","message":"Requests rate limit exceeded"}"#,
        b"{\"choices\":[],\"id\":\"\xff\"}",
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
