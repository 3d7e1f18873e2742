use serde_json::Value;
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;

use super::DIALECT;
use crate::wire::{decoded, tapped};

#[test]
fn errors_before_an_answer_are_those_of_chat_completions() {
    let id = RequestId::from_bytes([7; 16]);
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong").with_param("input[0].role");
        assert_eq!(DIALECT.error_body(&error, &id), Dialect::OpenAiChat.error_body(&error, &id));
    }
}

#[test]
fn an_error_inside_a_stream_is_two_events_that_every_client_understands() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamCut, "the vendor \"x\" broke off\nhere");
    let event = DIALECT.error_event(&error, &id);
    let text = std::str::from_utf8(&event).unwrap();
    insta::assert_snapshot!(text);
    let events: Vec<Value> = text
        .split("\n\n")
        .filter(|event| !event.is_empty())
        .map(|event| serde_json::from_str(event.split_once("\ndata: ").unwrap().1).unwrap())
        .collect();
    assert_eq!(events[1]["response"]["id"], DIALECT.reply_id(&id));
    assert!(events[0]["sequence_number"].as_u64() < events[1]["sequence_number"].as_u64());
    // It reads as a vendor's error.
    let (_, end) = decoded(DIALECT, &[&event]);
    assert!(end.contains("broke off"), "{end}");
    let fault = tapped(DIALECT, &[&event]).facts.upstream_error.unwrap();
    assert_eq!(fault.message, "the vendor \"x\" broke off\nhere");
}
