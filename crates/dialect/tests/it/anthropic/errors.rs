use std::fmt::Write;

use serde_json::Value;
use steelyard_core::{ApiError, ErrorCode, RequestId};

use super::DIALECT;

#[test]
fn every_code_has_its_status_and_type() {
    let id = RequestId::from_bytes([7; 16]);
    let mut table = String::new();
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong").with_param("messages[0].role");
        let (status, body) = DIALECT.error_body(&error, &id);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "error");
        assert_eq!(body["request_id"], id.to_string());
        let error = &body["error"];
        let expected = match code {
            ErrorCode::ContextTooLong => "prompt is too long (what went wrong)",
            _ => "what went wrong",
        };
        assert_eq!(error["message"], expected);
        assert_eq!(error["steelyard"]["param"], "messages[0].role");
        let own = error["steelyard"]["code"].as_str().unwrap();
        writeln!(table, "{own} {} {}", status.as_u16(), error["type"].as_str().unwrap()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_error_event_is_one_named_frame() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamCut, "the vendor \"x\" broke off\nhere");
    insta::assert_snapshot!(std::str::from_utf8(&DIALECT.error_event(&error, &id)).unwrap());
}

#[test]
fn a_vendors_refusal_keeps_its_words() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamRefused, "refused");
    let vendor = br#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 2 tokens > 1 maximum"},"request_id":"req_x"}"#;
    let body: Value = serde_json::from_slice(&DIALECT.vendor_error_body(vendor, &error, &id)).unwrap();
    assert_eq!(body["error"]["message"], "prompt is too long: 2 tokens > 1 maximum");
    assert_eq!(body["error"]["steelyard"]["code"], "SY0308");
    assert_eq!(body["request_id"], id.to_string());
    let ours: Value = serde_json::from_slice(&DIALECT.vendor_error_body(b"<html>", &error, &id)).unwrap();
    assert_eq!(ours["error"]["message"], "refused");
    assert_eq!(
        DIALECT.vendor_fault(&http::HeaderMap::new(), vendor).unwrap().kind.as_deref(),
        Some("invalid_request_error")
    );
    assert_eq!(DIALECT.vendor_fault(&http::HeaderMap::new(), b"{}"), None);
}
