use std::fmt::Write;

use serde_json::Value;
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::Dialect;

#[test]
fn every_code_has_its_status_type_and_code() {
    let id = RequestId::from_bytes([7; 16]);
    let mut table = String::new();
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong").with_param("messages[0].role");
        let (status, body) = Dialect::OpenAiChat.error_body(&error, &id);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let error = &body["error"];
        assert_eq!(error["message"], "what went wrong");
        assert_eq!(error["param"], "messages[0].role");
        assert_eq!(error["steelyard"]["request_id"], id.to_string());
        let own = &error["steelyard"]["code"];
        let line = format!("{own} {} {} {}", status.as_u16(), error["type"], error["code"]);
        writeln!(table, "{}", line.replace('"', "")).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn all_four_members_are_there_and_an_error_event_is_one_frame() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamCut, "the vendor \"x\" broke off\nhere");
    insta::assert_snapshot!(std::str::from_utf8(&Dialect::OpenAiChat.error_event(&error, &id)).unwrap());
}
