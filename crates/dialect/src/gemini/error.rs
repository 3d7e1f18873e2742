//! Errors as Google's clients expect them (`google.rpc.Status`): `{"error":{code, message, status, details}}`, and our
//! stable code and request id beside them under `steelyard`. Clients that asked for an array get it in one.

use bytes::Bytes;
use http::StatusCode;
use steelyard_core::{ApiError, ErrorCode, ErrorKind, RequestId};

use crate::error::UpstreamFault;
use crate::gemini::Framing;
use crate::json::Object;

pub(crate) fn body(error: &ApiError, request_id: &RequestId, framing: Framing) -> (StatusCode, Bytes) {
    (status(error.code).0, framed(&text(error, request_id), framing))
}

/// An error inside a stream that has begun.
pub(crate) fn event(error: &ApiError, request_id: &RequestId, framing: Framing) -> Bytes {
    let text = text(error, request_id);
    match framing {
        Framing::Events => [b"data: ".as_slice(), &text, b"\n\n"].concat().into(),
        // The array has begun.
        Framing::Array => [b",\r\n".as_slice(), &text, b"]"].concat().into(),
    }
}

/// The vendor's own refusal, with our code and request id beside it under `steelyard`; ours where the vendor's cannot be
/// read.
pub(crate) fn vendor_body(
    vendor: &[u8],
    error: &ApiError,
    request_id: &RequestId,
    framing: Framing,
) -> Bytes {
    let mut reply = serde_json::from_slice::<serde_json::Value>(vendor).unwrap_or_default();
    let Some(fields) = reply.get_mut("error").and_then(serde_json::Value::as_object_mut) else {
        return body(error, request_id, framing).1;
    };
    let own = serde_json::json!({ "code": error.code.code(), "request_id": request_id });
    fields.insert("steelyard".to_owned(), own);
    framed(reply.to_string().as_bytes(), framing)
}

/// An error that came in place of an answer's beginning, as Google sends it by itself: its code is the status.
pub(crate) fn refusal(fault: &UpstreamFault) -> (StatusCode, Bytes) {
    let named = match fault.kind.as_deref().unwrap_or_default() {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "RESOURCE_EXHAUSTED" => 429,
        "UNAVAILABLE" => 503,
        "DEADLINE_EXCEEDED" => 504,
        _ => 500,
    };
    let code =
        fault.code.as_deref().and_then(|code| code.parse().ok()).filter(|code| (400..600).contains(code));
    let status = StatusCode::from_u16(code.unwrap_or(named)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut out = Vec::with_capacity(256);
    Object::write(&mut out, |body| {
        body.object("error", |fields| {
            fields.field("code", &status.as_u16());
            fields.field("message", &fault.message);
            fields.opt("status", fault.kind.as_ref());
        });
    });
    (status, out.into())
}

fn framed(text: &[u8], framing: Framing) -> Bytes {
    match framing {
        Framing::Events => Bytes::copy_from_slice(text),
        Framing::Array => [b"[".as_slice(), text, b"]"].concat().into(),
    }
}

fn text(error: &ApiError, request_id: &RequestId) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let (http, name) = status(error.code);
    Object::write(&mut out, |body| {
        body.object("error", |fields| {
            fields.field("code", &http.as_u16());
            match overflow(error) {
                Some(text) => fields.field("message", &text),
                None => fields.field("message", &error.public),
            }
            fields.field("status", name);
            if let Some(wait) = error.retry_after {
                fields.objects("details", [wait], |detail, wait| {
                    detail.field("@type", "type.googleapis.com/google.rpc.RetryInfo");
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    detail.field("retryDelay", &format!("{seconds}s"));
                });
            }
            fields.object("steelyard", |own| {
                own.field("code", error.code.code());
                own.field("request_id", request_id);
                own.opt("param", error.param.as_ref());
            });
        });
    });
    out
}

/// The status of HTTP, and the name of the canonical code (`google.rpc.Code`).
fn status(code: ErrorCode) -> (StatusCode, &'static str) {
    if code == ErrorCode::MethodNotAllowed {
        return (StatusCode::METHOD_NOT_ALLOWED, "UNIMPLEMENTED");
    }
    match code.kind() {
        ErrorKind::InvalidRequest => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "ABORTED"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT"),
        ErrorKind::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "INVALID_ARGUMENT"),
        ErrorKind::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT"),
        ErrorKind::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "DEADLINE_EXCEEDED"),
        ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        ErrorKind::Upstream => (StatusCode::BAD_GATEWAY, "INTERNAL"),
        ErrorKind::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    }
}

/// Agents shorten their conversation when they read Google's own words for a prompt that does not fit.
fn overflow(error: &ApiError) -> Option<String> {
    const OURS: &str = "exceeds the maximum number of tokens allowed";
    let text = &error.public;
    (error.code == ErrorCode::ContextTooLong && !text.contains(OURS))
        .then(|| format!("The input token count {OURS}. ({text})"))
}
