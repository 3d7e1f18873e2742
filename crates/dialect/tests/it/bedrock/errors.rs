use std::fmt::Write;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use steelyard_core::{ApiError, ErrorCode, RequestId};
use steelyard_dialect::event_stream::{MAX_FRAME, take};

use crate::bedrock::DIALECT;

#[test]
fn every_code_has_its_status_its_name_and_its_exception() {
    let id = RequestId::from_bytes([7; 16]);
    let mut table = String::new();
    for code in ErrorCode::ALL {
        let error = ApiError::new(*code, "what went wrong").with_param("messages[0].role");
        let (status, body) = DIALECT.error_body(&error, &id);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let own = json!({"code": code.code(), "request_id": id.to_string()});
        let message = match code {
            ErrorCode::ContextTooLong => "Input is too long for requested model. (what went wrong)",
            _ => "what went wrong",
        };
        assert_eq!(body, json!({"message": message, "steelyard": own}));
        let (header, name) = DIALECT.error_header(&error).unwrap();
        assert_eq!(header, "x-amzn-errortype");
        let event = DIALECT.error_event(&error, &id);
        let (frame, length) = take(&event, MAX_FRAME).unwrap().unwrap();
        assert_eq!((length, frame.header(":message-type")), (event.len(), Some("exception")));
        assert_eq!(serde_json::from_slice::<Value>(frame.payload).unwrap(), body);
        let exception = frame.header(":exception-type").unwrap();
        writeln!(table, "{} {} {name} {exception}", code.code(), status.as_u16()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_vendors_own_refusal_is_kept_and_ours_stands_in_where_it_cannot_be_read() {
    let id = RequestId::from_bytes([7; 16]);
    let error = ApiError::new(ErrorCode::UpstreamRefused, "refused");
    let read = |vendor: &str| {
        let body = DIALECT.vendor_error_body(vendor.as_bytes(), &error, &id);
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let own = json!({"code": "SY0308", "request_id": id.to_string()});
    assert_eq!(
        read(r#"{"message":"no","resourceName":"x"}"#),
        json!({"message": "no", "resourceName": "x", "steelyard": own})
    );
    assert_eq!(read(r#"{"Message":"no"}"#), json!({"message": "no", "steelyard": own}));
    for garbage in ["", "<html>", "[]", "{}"] {
        assert_eq!(read(garbage), json!({"message": "refused", "steelyard": own}), "{garbage}");
    }
}

#[test]
fn a_refusals_name_is_that_of_its_header_before_that_of_its_body() {
    let read = |header: Option<&'static str>, body: &str| {
        let headers = header
            .map(|name| (HeaderName::from_static("x-amzn-errortype"), HeaderValue::from_static(name)))
            .into_iter()
            .collect();
        let fault = DIALECT.vendor_fault(&headers, body.as_bytes())?;
        Some((fault.kind.unwrap_or_default(), fault.message))
    };
    let named = |kind: &str, message: &str| Some((kind.to_owned(), message.to_owned()));
    let said = r#"{"message":"no","__type":"com.amazon#ValidationException"}"#;
    let quiet = r#"{"message":"no"}"#;
    assert_eq!(read(None, said), named("ValidationException", "no"));
    assert_eq!(read(None, quiet), named("", "no"));
    assert_eq!(read(Some("ThrottlingException"), said), named("ThrottlingException", "no"));
    assert_eq!(read(Some("ThrottlingException"), quiet), named("ThrottlingException", "no"));
    let address = "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/";
    assert_eq!(read(Some(address), quiet), named("AccessDeniedException", "no"));
    assert_eq!(read(Some("com.amazon#AccessDeniedException"), "<html>"), named("AccessDeniedException", ""));
    assert_eq!(read(Some(""), said), named("ValidationException", "no"));
    assert_eq!(read(Some(""), "<html>"), None);
    assert_eq!(read(None, "<html>"), None);
}

#[test]
fn nothing_keeps_a_stream_open_and_its_type_is_awss() {
    assert_eq!(DIALECT.keep_alive(), None);
    assert_eq!(DIALECT.stream_type(), "application/vnd.amazon.eventstream");
    assert_eq!(DIALECT.name(), "bedrock_converse");
}
