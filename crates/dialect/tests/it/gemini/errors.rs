use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;
use steelyard_core::{ApiError, ErrorCode, RequestId};

use super::{ARRAY, DIALECT};

#[test]
fn every_code_has_its_status_and_name() {
    let id = RequestId::from_bytes([7; 16]);
    let mut table = String::new();
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong").with_param("contents[0].role");
        let (status, body) = DIALECT.error_body(&error, &id);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let error = &body["error"];
        let expected = match code {
            ErrorCode::ContextTooLong => {
                "The input token count exceeds the maximum number of tokens allowed. (what went wrong)"
            }
            _ => "what went wrong",
        };
        assert_eq!(error["message"], expected);
        assert_eq!(error["code"], status.as_u16());
        assert_eq!(error["steelyard"]["param"], "contents[0].role");
        assert_eq!(error["steelyard"]["request_id"], id.to_string());
        let own = error["steelyard"]["code"].as_str().unwrap();
        writeln!(table, "{own} {} {}", status.as_u16(), error["status"].as_str().unwrap()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_error_says_when_to_come_again() {
    let id = RequestId::from_bytes([7; 16]);
    let mut error = ApiError::new(ErrorCode::UpstreamRateLimited, "slow down");
    error.retry_after = Some(Duration::from_millis(1_500));
    let (_, body) = DIALECT.error_body(&error, &id);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["details"][0]["retryDelay"], "2s");
    // Clients that asked for an array read one.
    let (_, body) = ARRAY.error_body(&error, &id);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body[0]["error"]["message"], "slow down");
}

#[test]
fn an_error_event_is_one_frame() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamCut, "the vendor \"x\" broke off\nhere");
    let event = DIALECT.error_event(&error, &id);
    insta::assert_snapshot!(std::str::from_utf8(&event).unwrap());
    let array = ARRAY.error_event(&error, &id);
    let whole = [b"[{}".as_slice(), &array].concat();
    let read: Vec<Value> = serde_json::from_slice(&whole).unwrap();
    assert_eq!(read[1]["error"]["status"], "INTERNAL");
}

#[test]
fn a_vendors_refusal_keeps_its_words() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamRefused, "refused");
    let vendor =
        br#"{"error":{"code":400,"message":"Invalid value","status":"INVALID_ARGUMENT","details":[{"reason":"X"}]}}"#;
    let body: Value = serde_json::from_slice(&DIALECT.vendor_error_body(vendor, &error, &id)).unwrap();
    assert_eq!(body["error"]["message"], "Invalid value");
    assert_eq!(body["error"]["details"][0]["reason"], "X");
    assert_eq!(body["error"]["steelyard"]["code"], "SY0308");
    let ours: Value = serde_json::from_slice(&DIALECT.vendor_error_body(b"<html>", &error, &id)).unwrap();
    assert_eq!(ours["error"]["message"], "refused");
    let array: Value = serde_json::from_slice(&ARRAY.vendor_error_body(vendor, &error, &id)).unwrap();
    assert_eq!(array[0]["error"]["message"], "Invalid value");
    let fault = DIALECT.vendor_fault(&http::HeaderMap::new(), vendor).unwrap();
    assert_eq!((fault.kind.as_deref(), fault.code.as_deref()), (Some("INVALID_ARGUMENT"), Some("400")));
    assert_eq!(DIALECT.vendor_fault(&http::HeaderMap::new(), b"{}"), None);
}

#[test]
fn a_prompt_that_does_not_fit_is_known_by_googles_words() {
    let vendor = br#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#;
    assert!(DIALECT.vendor_fault(&http::HeaderMap::new(), vendor).unwrap().is_context_overflow());
}
